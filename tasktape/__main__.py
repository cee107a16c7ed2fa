"""The program: `tasktape`, and `python -m tasktape`."""

from __future__ import annotations

import sys

INTERRUPTED_STATUS = 130
"""As of `tasktape.cli.failures`, which is not imported yet when it is needed here."""


def run() -> None:
    """Import the command line and run it. Ctrl-C never prints a traceback, not even during the import."""
    try:
        from tasktape.cli import main
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
    main(prog_name="tasktape")


if __name__ == "__main__":
    run()
