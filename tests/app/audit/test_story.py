"""Stories: each event is once in the trees, below its cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.audit.story import MAX_DEPTH, Node, trees_of
from app.log.event_json import RecordedEvent
from app.log.fold import Outcome
from app.positions import Position
from app.stream_ids import StreamId

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def event(
    number: int, cause: str | None, outcome: Outcome = "accepted", id_: str | None = None
) -> RecordedEvent:
    """Return an event with an id of its own, unless one is given."""
    return RecordedEvent(
        id=id_ or f"e{number}",
        type="task.edited",
        stream=StreamId("task:a"),
        version=number,
        position=Position(0, number),
        outcome=outcome,
        reason=None,
        time=AT,
        recorded_at=AT,
        actor="alice",
        source="/tasktape/api",
        correlation_id="c",
        causation_id=cause,
        data=b"{}",
        changes=b"{}",
    )


def outline(nodes: Sequence[Node]) -> list[object]:
    """Return the offsets of a tree as nested lists."""
    return [[node.event.position.offset, *outline(node.effects)] for node in nodes]


def placed(nodes: Sequence[Node], depth: int = 1) -> Iterator[tuple[RecordedEvent, int]]:
    """Yield all events with their levels."""
    for node in nodes:
        yield node.event, depth
        yield from placed(node.effects, depth + 1)


def test_effects_are_below_their_causes_in_order() -> None:
    events = [event(1, None), event(2, "e1"), event(3, "e2"), event(4, "e1"), event(5, "unseen")]
    assert outline(trees_of(events)) == [[1, [2, [3]], [4]], [5]]


def test_effect_may_be_recorded_before_its_cause() -> None:
    """They lie in different partitions."""
    assert outline(trees_of([event(1, "e2"), event(2, None)])) == [[2, [1]]]


def test_effects_are_below_the_copy_that_was_accepted() -> None:
    copies = [event(1, None, "parked", "a"), event(2, None, id_="a"), event(3, None, "superseded", "a")]
    assert outline(trees_of([*copies, event(4, "a")])) == [[1], [2, [4]], [3]]


def test_circle_is_cut_at_its_first_event() -> None:
    events = [event(1, "e3"), event(2, "e1"), event(3, "e2"), event(4, "e4")]
    assert outline(trees_of(events)) == [[1, [2, [3]]], [4]]


def test_depth_is_limited() -> None:
    chain = [event(number, f"e{number - 1}") for number in range(100)]
    levels = [depth for _, depth in placed(trees_of(chain))]
    assert max(levels) == MAX_DEPTH
    assert len(levels) == 100


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.none() | st.integers(0, 9), st.sampled_from(["accepted", "superseded"])
        ),
        max_size=30,
    )
)
def test_each_event_is_once_in_the_trees(given_: list[tuple[int, int | None, Outcome]]) -> None:
    """Whatever the causes are; each event that is not a root is below one with the id of its cause."""
    events = [
        event(number, None if cause is None else f"e{cause}", outcome, f"e{own}")
        for number, (own, cause, outcome) in enumerate(given_)
    ]
    trees = trees_of(events)
    assert sorted(each.position for each, _ in placed(trees)) == [each.position for each in events]

    def check(nodes: Sequence[Node]) -> None:
        for node in nodes:
            assert all(effect.event.causation_id == node.event.id for effect in node.effects)
            check(node.effects)

    check(trees)
