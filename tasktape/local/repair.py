"""The repair of a data folder: only its stores are started, and made consistent again."""

import asyncio
from collections.abc import Callable, Sequence

from app.errors import TaskError
from app.settings import BadSettings, Settings
from streams.repair import diagnose, fix
from tasktape.local.errors import LocalError
from tasktape.local.foreground import install_parts
from tasktape.local.jars import Progress
from tasktape.local.running import already_runs, reap_leftovers
from tasktape.local.stack import Options, Stack

Say = Callable[[str], None]


def repair_instance(
    options: Options, progress: Progress, say: Say, agree: Callable[[Sequence[str]], bool]
) -> bool:
    """Find differences between the log and the read models, and fix them if `agree` returns true.

    Return whether everything is consistent afterwards. Raise `LocalError`, also while the instance runs.
    """
    data = options.data
    data.create()
    lock = data.lock()
    if lock is None:
        raise LocalError(f"{already_runs(data)}; `tasktape down` first")
    with lock:
        reap_leftovers(data, say)
        stack = Stack(options)
        install_parts(stack, progress)
        servers = [server for server in (stack.postgres, stack.kafka) if server is not None]
        if stack.kafka is not None:
            stack.kafka.distrust()
        started = []
        try:
            for server in servers:
                started.append(server)
                server.start()
            settings = Settings.from_environment(stack.environment())
            done = _repair(settings, say, agree)
        except (TaskError, BadSettings) as error:
            raise LocalError(str(error)) from error
        finally:
            for server in reversed(started):
                server.stop()
        if done:
            data.forget_failure()
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
