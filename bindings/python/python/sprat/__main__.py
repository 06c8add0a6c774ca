"""`sprat` and `python -m sprat`: the console command.

What it does is in `sprat._cli`, which is loaded only here: `import sprat` stays small.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command and end the process with its exit code."""
    try:
        from ._cli import main as run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to end
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
