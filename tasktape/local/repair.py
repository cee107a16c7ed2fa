"""The repair of a data folder: only its stores are started, and made consistent again."""

import asyncio
from collections.abc import Callable, Sequence

from app.errors import TaskError
from app.settings import Settings
from streams.repair import diagnose, fix
from tasktape.local.errors import LocalError
from tasktape.local.jars import Progress
from tasktape.local.stack import Options
from tasktape.local.stores import Say, idle_stores


def repair_instance(
    options: Options, progress: Progress, say: Say, agree: Callable[[Sequence[str]], bool]
) -> bool:
    """Find differences between the log and the read models, and fix them if `agree` returns true.

    Return whether everything is consistent afterwards. Raise `LocalError`, also while the instance runs.
    """
    with idle_stores(options, progress, say, distrust=True) as settings:
        try:
            done = _repair(settings, say, agree)
        except TaskError as error:
            raise LocalError(str(error)) from error
    if done:
        options.data.forget_failure()
    return done


def _repair(settings: Settings, say: Say, agree: Callable[[Sequence[str]], bool]) -> bool:
    diagnosis = asyncio.run(diagnose(settings))
    if diagnosis.sound:
        say("The log and the read models agree; there is nothing to repair.")
        return True
    if not agree(diagnosis.lines):
        return False
    for line in asyncio.run(fix(settings, diagnosis)):
        say(line)
    say("Repaired. Records written directly before a power cut, and not folded yet, are lost.")
    return True
