"""A process that loads partitions of the log into a generation: `python -m streams.load_process`.

Its work is one line of JSON on standard input. It ends when that is closed, as when its parent dies. It
writes a line for each number of records that are done, and a line of JSON for an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import Any

import uvloop

from app.errors import TaskError
from app.settings import Settings
from streams.garbage import collect_rarely
from streams.loading import load_partitions


def main() -> int:
    """Do the work; return the exit status."""
    work = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    collect_rarely()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_load(work))
    except TaskError as error:
        _say(json.dumps({"code": error.code, "detail": error.detail}))
        return 1
    return 0


async def _load(work: dict[str, Any]) -> None:
    ends = {int(partition): end for partition, end in work["ends"].items()}
    settings = Settings.model_validate(work["settings"])
    await load_partitions(settings, work["number"], ends, lambda records: _say(str(records)), work["per_s"])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
