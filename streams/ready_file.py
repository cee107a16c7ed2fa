"""The ready file: it exists while a process is ready, and its time shows that the process still runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from app.errors import Unavailable

HEARTBEAT_S = 2.0
"""The interval of touching it. A health check may treat a file five times as old as a hang."""


class ReadyFile:
    """A file that is touched while the event loop of a ready process runs.

    A file that a killed process left is removed at once, because it would signal that its successor is ready.
    Raise `Unavailable` if the file cannot be created.
    """

    def __init__(self, path: str | None, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._path = None if path is None else Path(path)
        self._heartbeat_s = heartbeat_s
        self._beating: asyncio.Task[None] | None = None
        if self._path is not None:
            _prepare(self._path)

    def make(self) -> None:
        """Signal that the process is ready, until it is removed."""
        if self._path is not None and self._beating is None:
            self._touch()
            self._beating = asyncio.create_task(self._beat(), name="ready file")

    def remove(self) -> None:
        """Signal that the process is not ready, or no longer."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            self._touch()

    def _touch(self) -> None:
        if self._path is not None:
            self._path.touch()


def _prepare(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise FileNotFoundError(2, "its folder is not there, or cannot be written to")
    except OSError as error:
        raise Unavailable(f"TASKTAPE_READY_FILE {path} cannot be written: {error.strerror}") from None
