"""The entry point of the console command, for `sprat` and `python -m sprat`.

The command itself is in `sprat._cli`. Only this module imports it, so `import sprat` stays small.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command and end the process with its exit code."""
    try:
        from ._cli import main as run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command could handle the signal
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
