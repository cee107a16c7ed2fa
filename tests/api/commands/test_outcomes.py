"""Outcomes by position, and waiting for positions."""

import asyncio

import pytest

from api.commands import outcomes as module
from api.commands.outcomes import Outcomes
from api.commands.stream_locks import StreamLocks
from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Position
from app.stream_ids import task_stream
from tests.waiting import eventually


def update(position: str, event_id: str = "e") -> Update:
    stream = task_stream("t")
    return Update(Position.parse(position), stream, event_id, "accepted", (), b"{}", "2026-01-01T00:00:00Z")


async def test_outcome_that_precedes_the_append_is_kept() -> None:
    """The update arrives before the position is known."""
    outcomes = Outcomes()
    with outcomes.expect("e") as expectation:
        outcomes.resolve(update("0:5"))
        found = await expectation.at(Position(0, 5), 0)
    assert found is not None
    assert found.position == Position(0, 5)


async def test_outcome_of_another_position_with_the_same_id_is_ignored() -> None:
    """A repeat on another node has the same event id."""
    outcomes = Outcomes()
    with outcomes.expect("e") as expectation:
        waiting = asyncio.create_task(expectation.at(Position(0, 6), 5))
        await eventually(lambda: expectation._wanted is not None)
        outcomes.resolve(update("0:5"))
        outcomes.resolve(update("0:6"))
        found = await waiting
    assert found is not None
    assert found.position == Position(0, 6)


async def test_wait_for_an_outcome_times_out() -> None:
    """The result is None, and nothing is left behind."""
    outcomes = Outcomes()
    with outcomes.expect("e") as expectation:
        assert await expectation.at(Position(0, 1), 0.01) is None
    outcomes.resolve(update("0:1"))
    assert outcomes._expected == {}


async def test_expected_outcomes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound commands are refused before anything is written."""
    monkeypatch.setattr(module, "MAX_EXPECTATIONS", 2)
    outcomes = Outcomes()
    with outcomes.expect("a"), outcomes.expect("b"), pytest.raises(Unavailable), outcomes.expect("c"):
        pass
    with outcomes.expect("c"):
        pass


async def test_wait_covers_positions_of_several_partitions() -> None:
    """All must be reached; repeated and old updates change nothing."""
    outcomes = Outcomes()
    outcomes.start({0: 3})
    assert await outcomes.wait_reached({0: 3}, 0)
    waiting = asyncio.create_task(outcomes.wait_reached({0: 4, 1: 0}, 5))
    await eventually(lambda: 0 in outcomes._waiting)
    outcomes.resolve(update("0:4"))
    outcomes.resolve(update("0:2"))
    await eventually(lambda: 1 in outcomes._waiting)
    assert not waiting.done()
    outcomes.resolve(update("1:0"))
    assert await waiting
    assert outcomes.reached == {0: 4, 1: 0}


async def test_wait_ends_when_the_rows_are_visible() -> None:
    """The updates feed may be late; the wait for late rows is bounded."""
    outcomes, rows, looks = Outcomes(), dict[int, int](), list[int]()

    async def look() -> dict[int, int]:
        looks.append(1)
        return rows

    assert not await outcomes.wait_visible({0: 3}, 0, look)
    assert len(looks) == 1
    waiting = asyncio.create_task(outcomes.wait_visible({0: 3}, 30, look))
    await eventually(lambda: len(looks) > 1)
    rows[0] = 3
    assert await waiting
    assert outcomes.reached == {}
    waiting = asyncio.create_task(outcomes.wait_visible({0: 4}, 30, look))
    outcomes.resolve(update("0:4"))
    assert await waiting


async def test_waiters_wake_in_any_order_and_leave_nothing() -> None:
    """Also those that time out."""
    outcomes = Outcomes()
    waiting = [asyncio.create_task(outcomes.wait_reached({0: offset}, 5)) for offset in (9, 2, 5, 2)]
    impatient = [asyncio.create_task(outcomes.wait_reached({0: 10**6 + n}, 0.01)) for n in range(50)]
    assert not any(await asyncio.gather(*impatient))
    outcomes.resolve(update("0:5"))
    await eventually(lambda: [task.done() for task in waiting] == [False, True, True, True])
    outcomes.resolve(update("0:9"))
    assert all(await asyncio.gather(*waiting))
    assert outcomes._waiting == {0: []}
    assert outcomes._waiters == 0


async def test_locks_are_fair_bounded_and_released() -> None:
    """First come, first served; too many waiters, or too long a wait, is refused; nothing is kept."""
    locks, order = StreamLocks(max_waiting=2), []

    async def take(name: str, timeout_s: float = 5) -> None:
        async with locks.hold("task:t", timeout_s):
            order.append(name)

    async with locks.hold("task:t", 1):
        waiting = [asyncio.create_task(take("first")), asyncio.create_task(take("second"))]
        await eventually(lambda: locks._locks["task:t"].users == 3)
        with pytest.raises(Unavailable, match="too many"):
            await take("third")
        async with locks.hold("task:other", 0):
            pass
    await asyncio.gather(*waiting)
    assert order == ["first", "second"]
    async with locks.hold("task:t", 1):
        with pytest.raises(Unavailable, match="too long"):
            await take("late", 0.01)
    assert locks._locks == {}
