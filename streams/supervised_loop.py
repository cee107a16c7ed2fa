"""The supervised loop: repeats a step, regardless of its errors, until it is stopped.

It is implemented once. Each background loop of a process names its step, the errors that it expects while a
dependency is unavailable, and its pauses after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import structlog

from streams.backoff import Backoff

T = TypeVar("T")

log = structlog.get_logger(__name__)


class SupervisedLoop:
    """Tries again after errors, with a line in the log and a pause for each.

    An `expected` error is logged as `waiting` with its reason, any other as `failed` with its traceback.
    `on_failure` is called after each, before the pause.

    It ends when its task is cancelled, or after the try in hand when `is_stopped` says so.
    """

    def __init__(
        self,
        backoff: Backoff,
        expected: tuple[type[BaseException], ...],
        *,
        waiting: str,
        failed: str | None = None,
        level: Literal["info", "warning"] = "warning",
        on_failure: Callable[[], None] | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._backoff = backoff
        self._expected = expected
        self._waiting = waiting
        self._failed = failed or waiting
        self._level = level
        self._on_failure = on_failure
        self._is_stopped = is_stopped

    async def run(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` again and again. It does its own waiting for something to do."""
        while not self._is_stopped():
            await self.until_done(step)

    async def until_done(self, action: Callable[[], Awaitable[T]]) -> T | None:
        """Return what `action` returns once it raises nothing; None if the loop is stopped before that."""
        failures, now_s = 0, asyncio.get_running_loop().time
        while True:
            began_s = now_s()
            try:
                return await action()
            except Exception as error:  # noqa: BLE001  # nothing may end it
                failures = 1 if now_s() - began_s > self._backoff.steady_s else failures + 1
                pause_s = self._backoff.pause_s(failures)
                self._note(error, pause_s)
            if self._is_stopped():
                return None
            await asyncio.sleep(pause_s)

    async def try_once(self, action: Callable[[], Awaitable[None]]) -> None:
        """Run `action` once; an error is logged and counted as those of `until_done`."""
        try:
            await action()
        except Exception as error:  # noqa: BLE001  # nothing may end it
            self._note(error, self._backoff.pause_s(1))

    def _note(self, error: Exception, retry_in_s: float) -> None:
        shown_s = round(retry_in_s, 2)
        if self._is_expected(error):
            note = log.info if self._level == "info" else log.warning
            note(self._waiting, reason=reason_of(error), retry_in_s=shown_s)
        else:
            log.error(self._failed, retry_in_s=shown_s, exc_info=error)
        if self._on_failure is not None:
            self._on_failure()

    def _is_expected(self, error: Exception) -> bool:
        if isinstance(error, ExceptionGroup):
            return all(map(self._is_expected, error.exceptions))
        return isinstance(error, self._expected)


def reason_of(error: BaseException) -> str:
    """Return the text of an error, or of the first one of a group; its type's name if it has no text."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
