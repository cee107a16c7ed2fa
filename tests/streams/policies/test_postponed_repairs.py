"""Postponed repairs: independent of each other, with growing pauses."""

from __future__ import annotations

import pytest

from app.stream_ids import list_stream
from app.structure.rules import Violation
from streams.policies.postponed_repairs import MAX_POSTPONED, RETRY_FIRST_S, RETRY_MOST_S, PostponedRepairs


class Watch:
    """A clock that is set by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def broken(name: str) -> Violation:
    return Violation("no_owner", list_stream(name), frozenset({list_stream(name)}))


def test_nothing_is_due_while_nothing_is_postponed() -> None:
    """There is no time to wait for."""
    postponed = PostponedRepairs(Watch())
    assert postponed.due_in_s() is None
    assert not postponed.take_due()


def test_pause_of_one_stream_doubles_up_to_its_bound() -> None:
    """A stream that stays broken does not delay others."""
    watch = Watch()
    postponed = PostponedRepairs(watch)
    postponed.add([broken("old")])
    for _ in range(20):
        watch.now_s += RETRY_MOST_S
        assert postponed.take_due().lists == {"old"}
        postponed.add([broken("old")])
    assert postponed.due_in_s() == pytest.approx(RETRY_MOST_S)
    postponed.add([broken("new")])
    assert postponed.due_in_s() == pytest.approx(RETRY_FIRST_S)
    watch.now_s += RETRY_FIRST_S
    assert postponed.take_due().lists == {"new"}


def test_repaired_stream_begins_with_a_short_pause_again() -> None:
    """A stream that was taken and not added again is repaired."""
    watch = Watch()
    postponed = PostponedRepairs(watch)
    for _ in range(3):
        postponed.add([broken("one")])
        watch.now_s += RETRY_MOST_S
        postponed.take_due()
    postponed.take_due()
    assert postponed.due_in_s() is None
    postponed.add([broken("one")])
    assert postponed.due_in_s() == pytest.approx(RETRY_FIRST_S)


def test_postponed_repairs_are_bounded() -> None:
    """Others wait until they change."""
    postponed = PostponedRepairs(Watch())
    postponed.add([broken(str(number)) for number in range(MAX_POSTPONED + 5)])
    assert len(postponed) == MAX_POSTPONED
