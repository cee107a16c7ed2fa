"""A reader of commands, one a line, in batches that fit one request."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any

import click

from app.errors import Malformed
from app.text.json_text import MAX_DEPTH, is_shallow, read_json

READ_BYTES = 128 * 1024
MAX_LINE_BYTES = 1_000_000
"""A longer line is invalid, because no server accepts it."""
MAX_LINE_DEPTH = MAX_DEPTH - 2
"""A request contains the commands in an array, which is in an object."""
MAX_BATCH_BYTES = 200_000
MAX_COST = 500
OTHER_COST = 5
"""The cost of other commands in creations, which are executed together."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank: its number, and its command or its error."""

    number: int
    size_bytes: int
    command: dict[str, Any] | None = None
    error: str = ""

    @property
    def is_creation(self) -> bool:
        """Return whether it creates a task without relations to others."""
        command = self.command or {}
        body = command.get("body")
        return command.get("command") == "create" and not (isinstance(body, dict) and body.get("parent_id"))

    @property
    def cost(self) -> int:
        """Return the time that it takes, in creations."""
        return 1 if self.command is None or self.is_creation else OTHER_COST


async def batches(descriptor: int, key: str | None) -> AsyncIterator[list[Line]]:
    """Yield the lines of a file in batches: what there is, as soon as there is something.

    While a batch is used, the file is read on, and no further than for the next one. Raises
    `click.ClickException`.
    """
    pending: deque[Line] = deque()
    splitter, is_end = _Splitter(key), False
    reading = _in_thread(lambda: os.read(descriptor, READ_BYTES))
    while True:
        while not is_end and (not pending or (reading.done() and len(pending) < MAX_COST)):
            try:
                data = await reading
            except OSError as error:
                raise click.ClickException(f"cannot read the commands: {error.strerror or error}") from None
            pending.extend(splitter.lines(data))
            is_end = not data
            if not is_end:
                reading = _in_thread(lambda: os.read(descriptor, READ_BYTES))
        if not pending:
            return
        yield _batch(pending)


def _batch(pending: deque[Line]) -> list[Line]:
    batch = [pending.popleft()]
    cost, size_bytes = batch[0].cost, batch[0].size_bytes
    while pending:
        cost += pending[0].cost
        size_bytes += pending[0].size_bytes
        if cost > MAX_COST or size_bytes > MAX_BATCH_BYTES:
            break
        batch.append(pending.popleft())
    return batch


class _Splitter:
    """A splitter of input into lines."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._rest = b""
        self._is_too_long = False
        self._number = 0

    def lines(self, data: bytes) -> list[Line]:
        """Return the lines that `data` completes; without data, return the rest as the last line."""
        *ended, self._rest = (self._rest + data).split(b"\n") if data else (self._rest, b"")
        found = [line for each in ended if (line := self._line(each)) is not None]
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest, self._is_too_long = b"", True
        return found

    def _line(self, raw: bytes) -> Line | None:
        self._number += 1
        if self._is_too_long or len(raw) > MAX_LINE_BYTES:
            self._is_too_long = False
            return Line(self._number, 0, error=f"this line is longer than {MAX_LINE_BYTES:,} bytes")
        if not raw.strip():
            return None
        command = _command(raw)
        if isinstance(command, str):
            return Line(self._number, 0, error=command)
        if self._key is not None:
            command.setdefault("key", f"{self._key}:{self._number}")
        return Line(self._number, len(raw), command)


def _command(raw: bytes) -> dict[str, Any] | str:
    """Return the command of a line, or its error."""
    try:
        command = read_json(raw, "this line")
    except Malformed as error:
        return error.detail
    if not isinstance(command, dict):
        return "this line is not a JSON object"
    if not is_shallow(command, MAX_LINE_DEPTH):
        return f"this line is nested more than {MAX_LINE_DEPTH} deep"
    try:
        json.dumps(command, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "this line holds half of a surrogate pair"
    except ValueError:
        return "this line holds a number that is too large"
    return command


def _in_thread(call: Callable[[], bytes]) -> asyncio.Future[bytes]:
    """Return the result of a call that may block for ever. The exit does not wait for its thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def settle(result: bytes | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result or b"")

    def run() -> None:
        try:
            outcome: tuple[bytes | None, Exception | None] = (call(), None)
        except Exception as error:  # noqa: BLE001  # it is raised where the result is awaited
            outcome = (None, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    Thread(target=run, daemon=True).start()
    return future
