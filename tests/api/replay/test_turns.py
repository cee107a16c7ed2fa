"""The turns of replays."""

from __future__ import annotations

import asyncio

import pytest

from api.replay.turns import Turns
from api.telemetry.counters import Counters


async def test_turns_are_taken_one_at_a_time_in_order() -> None:
    turns, order, inside = Turns(Counters()), list[int](), 0

    async def take(number: int) -> None:
        nonlocal inside
        for _ in range(3):
            async with turns:
                inside += 1
                assert inside == 1
                order.append(number)
                await asyncio.sleep(0)
                inside -= 1

    await asyncio.gather(*(take(number) for number in range(3)))
    assert order == [0, 1, 2] * 3


async def test_rest_grows_with_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a limit; a single replay does not rest."""
    rests: list[float] = []
    times = iter(range(1_000))
    monkeypatch.setattr("api.replay.turns.perf_counter", lambda: next(times) / 1000)
    sleep = asyncio.sleep

    async def rest(seconds: float) -> None:
        rests.append(round(seconds * 1000))
        await sleep(0)

    monkeypatch.setattr("api.replay.turns.asyncio.sleep", rest)
    turns = Turns(Counters())

    async def take() -> None:
        async with turns:
            pass

    await take()
    await asyncio.gather(*(take() for _ in range(13)))
    assert rests == [0, 0, *[9] * 3, 8, 7, 6, 5, 4, 3, 2, 1, 0]


async def test_cancelled_turn_is_given_on() -> None:
    turns = Turns(Counters())

    async def take() -> None:
        async with turns:
            await asyncio.Event().wait()

    task, other = asyncio.create_task(take()), asyncio.create_task(take())
    await asyncio.sleep(0)
    for each in (other, task):
        each.cancel()
    await asyncio.gather(task, other, return_exceptions=True)
    async with asyncio.timeout(30), turns:
        pass
