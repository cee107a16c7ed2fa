"""Supervised loop: retries with growing pauses, logging, and stopping."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from streams.backoff import Backoff
from streams.supervised_loop import SupervisedLoop, reason_of


class Away(Exception):
    """An expected error of an unavailable store."""


@pytest.fixture
def pauses() -> Iterator[list[float]]:
    """Return the requested pauses, which take no time."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def pause(delay_s: float) -> None:
        made.append(delay_s)
        await sleep(0)

    with patch("streams.supervised_loop.asyncio.sleep", pause):
        yield made


def looping(steady_s: float = math.inf, **options: object) -> SupervisedLoop:
    backoff = Backoff(1.0, 4.0, spread=(1.0, 1.0), steady_s=steady_s)
    return SupervisedLoop(backoff, (Away,), waiting="it waits", failed="it failed", **options)  # type: ignore[arg-type]


class Failing:
    """Raises these errors, one after the other, and then returns 7."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def __call__(self) -> int:
        if self._errors:
            raise self._errors.pop(0)
        return 7


async def test_attempts_have_growing_pauses_until_success(pauses: list[float]) -> None:
    assert await looping().until_done(Failing(*[Away("no")] * 4)) == 7
    assert pauses == [1.0, 2.0, 4.0, 4.0]


async def test_expected_errors_are_logged_in_one_line_and_others_with_a_traceback(
    pauses: list[float],
) -> None:
    broken = ValueError("a bug")
    with capture_logs() as lines:
        await looping().until_done(Failing(Away("the store"), broken, Away()))
    assert lines == [
        {"event": "it waits", "reason": "the store", "retry_in_s": 1.0, "log_level": "warning"},
        {"event": "it failed", "retry_in_s": 2.0, "exc_info": broken, "log_level": "error"},
        {"event": "it waits", "reason": "Away", "retry_in_s": 4.0, "log_level": "warning"},
    ]
    assert len(pauses) == 3


async def test_group_is_expected_if_all_of_its_errors_are(pauses: list[float]) -> None:
    known = ExceptionGroup("two", [Away("first"), ExceptionGroup("inner", [Away("second")])])
    mixed = ExceptionGroup("two", [Away("first"), ValueError("a bug")])
    with capture_logs() as lines:
        await looping(level="info").until_done(Failing(known, mixed))
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("it waits", "info"),
        ("it failed", "error"),
    ]
    assert lines[0]["reason"] == reason_of(known) == "first"
    assert len(pauses) == 2


async def test_failures_are_counted_before_the_pause(pauses: list[float]) -> None:
    counted: list[int] = []
    await looping(on_failure=lambda: counted.append(len(pauses))).until_done(Failing(Away(), Away()))
    assert counted == [0, 1]


async def test_long_attempt_resets_the_pauses(pauses: list[float]) -> None:
    now_s, took_s = 0.0, iter([1.0, 1.0, 60.0, 1.0])

    async def fail_in_a_while() -> None:
        nonlocal now_s
        for each_s in took_s:
            now_s += each_s
            raise Away

    with patch.object(asyncio.get_running_loop(), "time", lambda: now_s):
        await looping(steady_s=10.0).until_done(fail_in_a_while)
    assert pauses == [1.0, 2.0, 1.0, 2.0]


async def test_success_resets_the_pauses(pauses: list[float]) -> None:
    stopped = False
    outcomes = iter([Away(), Away(), None, Away(), None])

    async def step() -> None:
        nonlocal stopped
        outcome = next(outcomes, StopAsyncIteration)
        if isinstance(outcome, Away):
            raise outcome
        stopped = outcome is StopAsyncIteration

    await looping(is_stopped=lambda: stopped).run(step)
    assert pauses == [1.0, 2.0, 1.0]


async def test_stop_ends_the_loop_after_the_current_attempt(pauses: list[float]) -> None:
    stopped = False

    async def fail() -> None:
        nonlocal stopped
        stopped = True
        raise Away

    loop = looping(is_stopped=lambda: stopped)
    await loop.until_done(fail)
    await loop.run(fail)
    assert pauses == []


async def test_cancelling_ends_the_loop() -> None:
    began = asyncio.Event()

    async def step() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(looping().run(step))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_single_attempt_is_logged_and_makes_no_pause(pauses: list[float]) -> None:
    counted: list[None] = []

    async def fail() -> None:
        raise Away("no")

    with capture_logs() as lines:
        await looping(on_failure=lambda: counted.append(None)).try_once(fail)
    assert [line["event"] for line in lines] == ["it waits"]
    assert counted == [None]
    assert pauses == []
