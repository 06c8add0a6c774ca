"""`sprat` and `python -m sprat`: the console command.

What it does is in `sprat._cli`, which is loaded only here: `import sprat` stays small.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command and end the process with its exit code."""
    from ._cli import main as run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
