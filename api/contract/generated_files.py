"""Documents that are generated from the code and committed, where readers and tools look for them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def keep(program: str, copy: Path, make: Callable[[], str], arguments: Sequence[str] | None = None) -> int:
    """Write the committed document, or check that it is up to date."""
    if is_write(program, keep.__doc__, arguments):
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(make(), encoding="utf-8")
        return 0
    if copy.exists() and copy.read_text(encoding="utf-8") == make():
        return 0
    sys.stderr.write(f"{copy} is out of date; run `python -m {program} --write`\n")
    return 1


def is_write(program: str, description: str | None, arguments: Sequence[str] | None = None) -> bool:
    """Parse the arguments, and return whether to write, not to check. Exit if they are wrong."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true")
    group.add_argument("--check", action="store_true")
    return bool(parser.parse_args(arguments).write)
