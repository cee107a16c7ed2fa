"""Tasktape's commands as the user has to type them: the program may not be on the path."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program_name() -> str:
    """Return the text to type for `tasktape`: its name if the shell finds this one, else its path."""
    script = Path(sys.executable).with_name("tasktape")
    found = shutil.which("tasktape")
    if not script.exists() or (found is not None and Path(found).samefile(script)):
        return "tasktape"
    here = Path.cwd()
    shown = script.relative_to(here) if script.is_relative_to(here) else script
    return shlex.quote(str(shown))


def typed(command: str, data: Path | None = None) -> str:
    """Return a command as the user has to type it, with `--data` unless `data` is the default folder."""
    from tasktape.local.data_dir import data_dir

    line = f"{program_name()} {command}"
    if data is None or data == data_dir(None).root:
        return line
    return f"{line} --data {shlex.quote(str(data))}"
