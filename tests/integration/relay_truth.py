"""Expectations from the log: updates of each relay client, and effects of each writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from app.channels import Channel
from app.lists.state import TaskList
from app.log.fold import Folded, State, channels
from app.positions import Position
from app.tasks.events import TaskCreated, TaskEdited
from tests.integration.relay_readers import CarefulReader, PythonReader, Reader
from tests.integration.relay_writers import Writer


def lists_of(user: str, outcome: Iterable[Folded]) -> set[str]:
    """Return the channels of the lists that a user has in the end."""
    lists: dict[str, TaskList] = {}
    for folded in outcome:
        if isinstance(folded.after, TaskList):
            lists[f"list:{folded.after.id}"] = folded.after
    return {channel for channel, task_list in lists.items() if _has(task_list, user)}


def expected_of(user: str, outcome: Sequence[Folded]) -> list[Position]:
    """Return the updates that a user's client must have: events in and of the user's lists."""
    mine = lists_of(user, outcome)
    return sorted(
        folded.raw.position
        for folded in outcome
        for concerned in [set(channels(folded))]
        if mine & concerned or (f"user:{user}" in concerned and not _is_of_task(folded))
    )


def _is_of_task(folded: Folded) -> bool:
    return folded.record is not None and folded.record.stream.startswith("task:")


def check_written(writer: Writer, outcome: Sequence[Folded]) -> None:
    """Check that every acknowledged command took effect exactly once."""
    found = [
        title
        for folded in outcome
        if folded.outcome == "accepted" and folded.record is not None
        for title in [_title(folded)]
        if title is not None and title.startswith(f"{writer.user} ")
    ]
    assert sorted(found) == sorted(writer.titles)


def _title(folded: Folded) -> str | None:
    assert folded.record is not None
    match folded.record.data:
        case TaskCreated(title=title):
            return title
        case TaskEdited(fields=fields):
            return fields.get("title")
        case _:
            return None


def check_read(reader: Reader, outcome: Sequence[Folded]) -> None:
    """Check that the user's updates were received once, in the order of each partition."""
    try:
        _check_read(reader, outcome)
    except AssertionError as error:
        error.add_note(str(reader))
        raise


def _check_read(reader: Reader, outcome: Sequence[Folded]) -> None:
    expected = expected_of(reader.user, outcome)
    if isinstance(reader, CarefulReader):
        assert sorted(reader.transcript.kept) == expected
        assert reader.transcript.lists == lists_of(reader.user, outcome)
    elif isinstance(reader, PythonReader):
        received = [None if update is None else Position.parse(update.position) for update in reader.received]
        if reader.is_guest:
            _check_joins_and_leaves(reader.user, received, outcome, expected)
        else:
            _check_received_once(list(filter(None, received)), expected)


def _check_received_once(received: Sequence[Position], expected: Sequence[Position]) -> None:
    assert sorted(received) == expected
    for partition in {position.partition for position in received}:
        order = [position for position in received if position.partition == partition]
        assert order == sorted(order)


def _check_joins_and_leaves(
    user: str, received: Sequence[Position | None], outcome: Sequence[Folded], expected: Sequence[Position]
) -> None:
    """Check that a list arrives complete each time the user joins it, and at no other time."""
    counts = Counter(received)
    joined = Counter(list_of(each) for each in outcome if _comes(each, user))
    whole: dict[str, set[Position]] = {}
    for folded in outcome:
        concerned, position = set(channels(folded)), folded.raw.position
        if f"user:{user}" in concerned and not _is_of_task(folded):
            assert counts[position] == 1, position
        else:
            assert counts[position] <= sum(joined[channel] for channel in concerned), position
            for channel in concerned:
                whole.setdefault(channel, set()).add(position)
    for channel in map(Channel, lists_of(user, outcome)):
        gone = [each for each in outcome if _goes(each, user) and list_of(each) == channel]
        left = max((received.index(each.raw.position) for each in gone), default=0)
        assert whole.get(channel, set()) <= set(received[_connection_before(received, left) :]), channel
    assert set(expected) <= set(received)


def _connection_before(received: Sequence[Position | None], index: int) -> int:
    """Return the start of a complete connection well before this."""
    return ([0, 0, 0] + [at for at, position in enumerate(received[:index]) if position is None])[-3]


def list_of(folded: Folded) -> str:
    """Return the channel of the list that an event is about."""
    return f"list:{folded.after.id}" if isinstance(folded.after, TaskList) else ""


def _comes(folded: Folded, user: str) -> bool:
    return _has(folded.after, user) and not _has(folded.before, user)


def _goes(folded: Folded, user: str) -> bool:
    return _has(folded.before, user) and not _has(folded.after, user)


def _has(state: State | None, user: str) -> bool:
    return isinstance(state, TaskList) and state.deleted_at is None and user in state.members
