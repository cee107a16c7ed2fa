"""The player of a replay, with a clock of its own: no test waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.protocol.client_messages import Refused
from api.replay.player import MAX_CONTROLS_AHEAD
from app.dates import format_time
from app.errors import Unavailable
from app.log.fold import Folded
from app.log.updates import is_gone, state_json
from app.tasks.events import TaskCreated, TaskEdited, TaskEvent
from app.tasks.state import Task
from tests.api.replay.replay_driver import Driver, replaying
from tests.folding import fold_log, update_of
from tests.memory_past import MemoryPast
from tests.past_histories import LISTS, MINUTES, history
from tests.spec import LIST_ID, START, raw_of, record_of
from tests.thoroughness import examples

LIST = LISTS[0]


def edits(count: int, seconds: int = 60) -> MemoryPast:
    """Return the past of one task with a creation and edits, some seconds apart."""
    events: list[TaskEvent] = [TaskCreated(LIST_ID, "0")]
    events += (TaskEdited({"title": f"{number}"}) for number in range(1, count))
    records = [
        record_of(event, version, time=START + timedelta(seconds=seconds * (version - 1)))
        for version, event in enumerate(events, start=1)
    ]
    _, outcome = fold_log([raw_of(record, offset) for offset, record in enumerate(records)])
    return MemoryPast(outcome)


def titles(driver: Driver) -> list[str]:
    """Return the titles of the updates so far."""
    return [update["task"]["title"] for update in driver.updates()]


def time_of(number: int) -> str:
    """Return the time of an edit."""
    return format_time(START + timedelta(minutes=number))


# --- pace ---------------------------------------------------------------------------------------------------


async def test_events_come_at_their_gaps_divided_by_the_speed() -> None:
    async with replaying(edits(4), LIST_ID, speed=60, max_gap_ms=10_000) as replay:
        await replay.begin()
        assert titles(replay) == ["0"]
        await replay.advance(0.99)
        assert titles(replay) == ["0"]
        await replay.advance(0.01)
        assert titles(replay) == ["0", "1"]
        await replay.advance(1)
        await replay.advance(1)
        assert titles(replay) == ["0", "1", "2", "3"]
        assert replay.last() == {
            "type": "replay",
            "channel": f"replay:{LIST_ID}",
            "state": "ended",
            "at": time_of(3),
            "speed": 60.0,
        }


async def test_long_gap_is_capped() -> None:
    async with replaying(edits(3, 86_400), LIST_ID, speed=1) as replay:
        await replay.begin()
        await replay.advance(1.99)
        assert titles(replay) == ["0"]
        await replay.advance(0.1)
        await replay.advance(2)
        assert titles(replay) == ["0", "1", "2"]


async def test_full_speed_plays_everything_at_once_in_bounded_pages() -> None:
    past = edits(500)
    async with replaying(past, LIST_ID, speed=1e9, max_gap_ms=0) as replay:
        await replay.settle()
        assert titles(replay) == [str(number) for number in range(500)]


async def test_one_page_is_read_ahead_and_no_more() -> None:
    past = edits(500)
    async with replaying(past, LIST_ID, speed=1) as replay:
        await replay.advance(2)
        for _ in range(100):
            await replay.settle()
        assert past.queries == 1 + 2 + 2  # the span, the snapshot, two pages


async def test_slow_reader_is_waited_for() -> None:
    past = edits(500)
    async with replaying(past, LIST_ID, speed=1e9, max_gap_ms=0) as replay:
        replay.reader.is_slow = True
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert past.queries < 10
        replay.reader.is_slow = False
        await replay.settle()
        assert len(titles(replay)) == 500


# --- controls -----------------------------------------------------------------------------------------------


async def test_pause_and_resume_keep_the_rest_of_a_gap() -> None:
    async with replaying(edits(3), LIST_ID, speed=60, max_gap_ms=10_000) as replay:
        await replay.begin()
        await replay.advance(0.25)
        replay.control("pause", id=1)
        await replay.advance(0)
        assert (replay.last()["state"], replay.last()["id"]) == ("paused", 1)
        await replay.advance(1_000)
        assert titles(replay) == ["0"]
        replay.control("resume", id=2)
        await replay.advance(0)
        await replay.advance(0.7)
        assert (replay.last()["state"], replay.last()["id"]) == ("playing", 2)
        await replay.advance(0.1)
        assert titles(replay) == ["0", "1"]


async def test_step_sends_one_event_and_pauses() -> None:
    async with replaying(edits(3), LIST_ID, speed=0.001, max_gap_ms=60_000) as replay:
        await replay.begin()
        replay.control("step", id=1)
        await replay.settle()
        assert titles(replay) == ["0", "1"]
        assert (replay.last()["state"], replay.last()["at"]) == ("paused", time_of(1))
        replay.control("step", id=2)
        replay.control("step", id=3)
        await replay.settle()
        assert titles(replay) == ["0", "1", "2"]
        assert (replay.last()["id"], replay.last()["state"]) == (3, "ended")


async def test_speed_changes_within_a_gap() -> None:
    async with replaying(edits(2), LIST_ID, speed=1, max_gap_ms=600_000) as replay:
        await replay.begin()
        await replay.advance(30)
        replay.control("speed", speed=10)
        await replay.advance(0)
        assert (replay.last()["state"], replay.last()["speed"]) == ("playing", 10)
        await replay.advance(2.9)
        assert titles(replay) == ["0"]
        await replay.advance(0.1)
        assert titles(replay) == ["0", "1"]


async def test_seek_goes_both_ways_and_is_clamped() -> None:
    first, last = START + timedelta(minutes=1), START + timedelta(minutes=6)
    options = {"from": format_time(first), "to": format_time(last), "speed": 60, "max_gap_ms": 60_000}
    async with replaying(edits(9), LIST_ID, **options) as replay:
        await replay.settle()
        for at, expected in ((5, 5), (2, 2), (8, 6), (0, 1)):
            replay.control("seek", id=at, at=time_of(at))
            await replay.settle()
            found = [each for each in replay.reader.messages if each.get("state") == "snapshot"][-1]
            assert (found["at"], [task["title"] for task in found["tasks"]]) == (
                time_of(expected),
                [str(expected)],
            )
        await replay.play_on()
        assert titles(replay)[-5:] == ["2", "3", "4", "5", "6"]


async def test_seek_after_the_end_plays_again() -> None:
    async with replaying(edits(3), LIST_ID, speed=1e9, max_gap_ms=0) as replay:
        await replay.settle()
        replay.control("seek", at=time_of(0))
        await replay.settle()
        assert titles(replay) == ["0", "1", "2", "1", "2"]
        assert replay.last()["state"] == "ended"


async def test_queued_seeks_make_one_snapshot_and_each_is_answered() -> None:
    async with replaying(edits(9), LIST_ID, speed=0.001) as replay:
        await replay.settle()
        before = len(replay.reader.messages)
        for number in (3, 5, 7):
            replay.control("seek", id=number, at=time_of(number))
        await replay.settle()
        snapshot, *replies = replay.reader.messages[before:]
        assert [task["title"] for task in snapshot["tasks"]] == ["7"]
        assert [(each["id"], each["at"]) for each in replies] == [
            (number, time_of(7)) for number in (3, 5, 7)
        ]


async def test_too_many_controls_are_refused() -> None:
    async with replaying(edits(2), LIST_ID) as replay:
        for _ in range(MAX_CONTROLS_AHEAD):
            replay.control("pause")
        with pytest.raises(Refused, match="too many controls"):
            replay.control("pause")


# --- parts of the past --------------------------------------------------------------------------------------


async def test_types_are_chosen() -> None:
    past = MemoryPast(fold_log(history(Random(7), 60))[1])
    async with replaying(past, LIST, speed=1e9, types=["task.moved", "list.created"]) as replay:
        await replay.play_on()
        found = [update["event"]["type"] for update in replay.updates()]
        assert set(found) == {"task.moved", "list.created"}
        assert found == [each for each in _types(past) if each in {"task.moved", "list.created"}]


def _types(past: MemoryPast) -> list[str]:
    return [json.loads(update_of(folded).value)["event"]["type"] for _, folded in past.of_list(LIST)]


@pytest.mark.parametrize(("first", "last"), [(None, -5), (-9, -5), (90, 95), (2, 2)])
async def test_part_without_events_is_empty(first: int | None, last: int) -> None:
    times = {"from": None if first is None else time_of(first), "to": time_of(last)}
    async with replaying(edits(9), LIST_ID, **{name: at for name, at in times.items() if at}) as replay:
        await replay.settle()
        assert not replay.updates()
        assert (replay.last()["state"], replay.last()["at"]) == ("ended", time_of(last))


async def test_failing_reads_are_retried_and_then_end_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.read_consistency.RETRY_DELAYS_S", (0.0, 0.0, 0.0))
    past = edits(9)
    async with replaying(past, LIST_ID, speed=60) as replay:
        await replay.settle()
        past.failures = 3
        await replay.play_on()
        assert len(titles(replay)) == 9
        past.failures = 99
        replay.control("seek", at=time_of(0))
        await replay.settle()
        with pytest.raises(Unavailable):
            await replay.task


# --- any controls -------------------------------------------------------------------------------------------


ACTIONS = ("pause", "resume", "step", "speed", "seek", "advance", "advance")


@given(chance=st.randoms(use_true_random=False), count=st.integers(0, 40), steps=st.integers(0, 15))
@settings(max_examples=examples(30))
async def test_any_controls_lose_and_repeat_nothing(chance: Random, count: int, steps: int) -> None:
    """Between two snapshots all events come, in order; a snapshot equals the fold of the log up to there."""
    _, outcome = fold_log(history(chance, count))
    past = MemoryPast(outcome, page_size=chance.choice((1, 3, 50)), query_ticks=chance.randrange(3))
    options = {"speed": chance.choice((0.5, 10.0, 1e9)), "max_gap_ms": chance.choice((0, 100, 60_000))}
    async with replaying(past, LIST, **options) as replay:
        for number in range(steps):
            await _act(replay, chance, number)
        replay.control("resume", id="last")
        await replay.play_on()
    _check(replay.reader.messages, past, outcome)
    answered = [each["id"] for each in replay.reader.messages if isinstance(each.get("id"), int)]
    assert answered == sorted(answered)
    assert len(set(answered)) == len(answered)
    assert replay.last()["state"] == "ended"


async def _act(replay: Driver, chance: Random, number: int) -> None:
    action = chance.choice(ACTIONS)
    if action == "advance":
        replay.clock.time_s += chance.choice((0.05, 1.0, 60.0))
    elif action == "seek":
        replay.control("seek", id=number, at=time_of(chance.randrange(-1, MINUTES + 1)))
    elif action == "speed":
        replay.control("speed", id=number, speed=chance.choice((0.1, 60.0, 1e9)))
    else:
        replay.control(action, id=number)
    if chance.random() < 0.5:
        await replay.settle()
    else:
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)


def _check(messages: Sequence[dict[str, Any]], past: MemoryPast, outcome: Sequence[Folded]) -> None:
    events = past.of_list(LIST)
    following = 0
    snapshot: list[dict[str, Any]] = []
    for message in messages:
        if message["type"] == "update":
            place, folded = events[following]
            assert message == {"channel": f"replay:{LIST}"} | json.loads(past.message(place, folded))
            following += 1
        elif message["state"] == "snapshot":
            snapshot = [*(snapshot if message["part"] else ()), *message["tasks"]]
            at = datetime.fromisoformat(message["at"])
            following = sum(place.at <= at for place, _ in events)
            if not message["more"]:
                assert _by_id(snapshot) == _by_id(_tasks_at(outcome, at))
        elif message["state"] == "ended":
            assert following == len(events)
    assert following == len(events)


def _tasks_at(outcome: Sequence[Folded], time: datetime) -> list[dict[str, Any]]:
    """Return the tasks of the list after the newest event of each up to a time, by the events' own times."""
    newest: dict[str, Task] = {}
    for folded in outcome:
        record, after = folded.record, folded.after
        if record is None or folded.outcome != "accepted" or record.time > time:
            continue
        if isinstance(after, Task):
            newest[after.id] = after
    return [
        json.loads(state_json(task)) for task in newest.values() if task.list_id == LIST and not is_gone(task)
    ]


def _by_id(tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(tasks, key=lambda task: str(task["id"]))
