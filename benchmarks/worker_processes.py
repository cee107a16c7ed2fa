"""Workers as processes of their own, for benchmarks of several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.backlog import environment_of
from benchmarks.parts import Parts

LIMIT_S = 120.0
POLL_S = 0.02
STOP_LIMIT_S = 15.0


@contextmanager
def started_worker(parts: Parts, slot: int) -> Iterator[int]:
    """Start a worker and wait until it has partitions; yield its process id."""
    ready = parts.folder / f"worker-{slot}.ready"
    ready.unlink(missing_ok=True)
    names = {"TASKTAPE_WORKER_SLOT": str(slot), "TASKTAPE_READY_FILE": str(ready)}
    with (parts.folder / f"worker-{slot}.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tasktape", "worker"],
            env={**os.environ, **environment_of(parts), **names},
            stdout=log,
            stderr=log,
        )
    try:
        _until_there(ready)
        yield worker.pid
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(STOP_LIMIT_S)


def _until_there(file: Path) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not file.exists():
        if time.monotonic() > deadline_s:
            raise SystemExit("the worker did not get ready")
        time.sleep(POLL_S)
