"""Ranks: strictly between their neighbours, short, and deterministic."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.tasks.ranks import DIGITS, rank_at, rank_between

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
FIRST, LAST = rank_at(NOW, "first"), rank_at(NOW + timedelta(minutes=5), "last")
RANKS = st.text(DIGITS, min_size=1, max_size=20)
FEW_RANKS = st.text("01yz", min_size=1, max_size=6)
FOREIGN = st.text(string.printable + "é\U0001f389", min_size=1, max_size=8)
SEEDS = st.text(max_size=8)
TIMES = st.datetimes(timezones=st.just(UTC))

Gap = tuple[str | None, str | None]


def fits(before: str, rank: str, after: str | None) -> bool:
    """Return whether a rank is between its neighbours in the order of bytes."""
    lowest, middle = before.encode(), rank.encode()
    return lowest < middle and (after is None or middle < after.encode()) and not rank.endswith("0")


# --- by time ---------------------------------------------------------------------------------------------


@given(TIMES, TIMES, SEEDS, SEEDS)
def test_later_creation_sorts_later(one: datetime, other: datetime, task: str, another: str) -> None:
    """For any tasks, a millisecond apart."""
    assume(one + timedelta(milliseconds=1) <= other)
    assert rank_at(one, task) < rank_at(other, another)


def test_rank_by_time_depends_on_instant_and_task() -> None:
    """Not on the zone; tasks of one millisecond differ."""
    rank = rank_at(NOW, "a")
    assert rank == "0419ca8a03e80be43i"
    assert rank_at(NOW.astimezone(timezone(timedelta(hours=5))), "a") == rank
    assert rank[:13] == rank_at(NOW, "b")[:13]
    assert rank != rank_at(NOW, "b")


# --- between ---------------------------------------------------------------------------------------------


@given(RANKS | FEW_RANKS, RANKS | FEW_RANKS, SEEDS)
@example("a", "a01", "")
@example("Zz", "a", "")
@example("y" + "z" * 30, "z", "")
@example("0", "00001", "")
def test_rank_between_two_exists(one: str, other: str, seed: str) -> None:
    """For any two different fractions."""
    before, after = sorted((one, other))
    assume(before.rstrip("0") != after.rstrip("0"))
    rank = rank_between(before, after, seed)
    assert fits(before, rank, after)
    assert set(rank) <= set(DIGITS)


@given(RANKS | FEW_RANKS, SEEDS)
def test_rank_at_the_ends_exists(rank: str, seed: str) -> None:
    """After any rank, and before any but zero."""
    assert fits(rank, rank_between(rank, None, seed), None)
    assume(rank.strip("0"))
    assert fits("", rank_between(None, rank, seed), rank)


@given(FOREIGN, FOREIGN, SEEDS)
@example("~", "~~", "")
@example("ü1", "ü2", "")
@example("a-", "b", "")
@example("zz~", "zz~é", "")
def test_rank_between_texts_of_any_kind_exists(one: str, other: str, seed: str) -> None:
    """Imports may have brought any; only a text that starts with its neighbour may leave no room."""
    before, after = sorted((one, other))
    assume(before != after)
    try:
        assert fits(before, rank_between(before, after, seed), after)
    except ValueError:
        assert after.startswith(before)
        assert after[len(before)] <= "0"
    assert fits(before, rank_between(before, None, seed), None)


@pytest.mark.parametrize(
    ("before", "after"),
    [("b", "a"), ("a", "a"), ("a", "a0"), ("a", "a00"), (None, "0"), (None, ""), ("a", "a-")],
)
def test_impossible_neighbours_are_refused(before: str | None, after: str | None) -> None:
    """Out of order, or equal."""
    with pytest.raises(ValueError, match=r"before|between"):
        rank_between(before, after, "seed")


def test_old_ranks_leave_room() -> None:
    """They were thirteen digits, often of adjacent milliseconds."""
    assert fits("0419ca8a2fe7f", rank_between("0419ca8a2fe7f", "0419ca8a2fe80", "s"), "0419ca8a2fe80")
    assert fits(
        "0419ca8a2fe80", rank_between("0419ca8a2fe80", "0419ca8a2fe80ffffi", "s"), "0419ca8a2fe80ffffi"
    )


@given(st.lists(SEEDS, max_size=50))
def test_task_moved_to_the_end_precedes_later_creations(seeds: list[str]) -> None:
    """Otherwise a new task would appear in the middle of the list."""
    rank = LAST
    for seed in seeds:
        rank = rank_between(rank, None, seed)
    assert rank < rank_at(NOW + timedelta(minutes=5, milliseconds=1), "new")


@given(SEEDS, TIMES)
def test_first_task_of_a_list_precedes_later_creations(seed: str, time: datetime) -> None:
    """A list may be empty when a task is moved to it."""
    assume(time.year >= 1970)
    assert rank_between(None, None, seed) < rank_at(time, "new")


@given(RANKS, RANKS, SEEDS)
def test_ranks_are_deterministic(one: str, other: str, seed: str) -> None:
    """Only the arguments count, on every node."""
    before, after = sorted((one, other))
    assume(before.rstrip("0") != after.rstrip("0"))
    assert rank_between(before, after, seed) == rank_between(before, after, seed)


@pytest.mark.parametrize("gap", [(FIRST, LAST), (None, FIRST), (LAST, None), (None, None), ("a", "b")])
def test_concurrent_inserts_rarely_collide(gap: Gap) -> None:
    """Not one pair of a hundred users."""
    assert len({rank_between(*gap, f"task-{number}") for number in range(100)}) == 100


# --- many moves ------------------------------------------------------------------------------------------

Move = Callable[[Gap, str, int], Gap]

MOVES: dict[str, tuple[Gap, Move, int]] = {
    "to the front": ((None, FIRST), lambda gap, rank, _: (gap[0], rank), 24),
    "to the end": ((LAST, None), lambda gap, rank, _: (rank, gap[1]), 40),
    "always below one task": ((FIRST, LAST), lambda gap, rank, _: (gap[0], rank), 40),
    "always above one task": ((FIRST, LAST), lambda gap, rank, _: (rank, gap[1]), 40),
    "between the last two, in turns": (
        (FIRST, LAST),
        lambda gap, rank, turn: (rank, gap[1]) if turn % 2 else (gap[0], rank),
        520,
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_ranks_of_one_place_stay_short(name: str) -> None:
    """A thousand moves: two digits for a hundred moves, and half a digit a move at worst."""
    gap, move, longest = MOVES[name]
    for turn in range(1000):
        rank = rank_between(*gap, f"task-{turn}")
        assert fits(gap[0] or "", rank, gap[1])
        assert len(rank) <= longest
        gap = move(gap, rank, turn)


def test_ranks_of_random_places_stay_short() -> None:
    """A thousand moves need few digits more than the first ranks had."""
    places = random.Random(1)
    ranks = [FIRST, LAST]
    for turn in range(1000):
        place = places.randint(0, len(ranks))
        around = [None, *ranks, None][place : place + 2]
        ranks.insert(place, rank_between(around[0], around[1], f"task-{turn}"))
    assert ranks == sorted(ranks)
    assert max(map(len, ranks)) <= 32


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_moves_keep_the_intended_order(moves: list[tuple[int, int]]) -> None:
    """Only the moved task gets a rank, and sorting by rank is the order that users saw."""
    tasks = [f"task-{number}" for number in range(10)]
    ranks = {task: rank_at(NOW + timedelta(seconds=index), task) for index, task in enumerate(tasks)}
    for taken, put in moves:
        task = tasks.pop(taken)
        before = ranks[tasks[put - 1]] if put > 0 else None
        after = ranks[tasks[put]] if put < len(tasks) else None
        ranks[task] = rank_between(before, after, task)
        tasks.insert(put, task)
        assert sorted(tasks, key=lambda each: ranks[each]) == tasks
