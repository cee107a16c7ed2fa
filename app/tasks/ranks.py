"""Ranks: the manual order of a list's tasks, as texts that compare in plain byte order (collation "C").

A rank is the digits of a fraction. There is always room between any two, and moving a task changes no other's
rank. See "Implementing Fractional Indexing" (David Greenspan, 2020) and, for the idea, "Realtime Editing of
Ordered Sequences" (Evan Wallace, Figma, 2017). Two things are ours. The new rank lies close to the longer
neighbour, which is usually the newer one: a run of moves to one place then takes 2 digits per 100 moves
instead of 17 (LSEQ, Nédelec et al. 2013, has the same aim). And a rank at the end stays within the
millisecond of the task before it, so that tasks created later still sort later.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zlib import crc32

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""In byte order, which is the order of their values."""

_BASE = len(DIGITS)
_ROOM = _BASE**4
"""The minimal number of fractions between the neighbours; the seed chooses one of half a million or more."""
_NEAR = 16
"""A rank next to its longer neighbour takes at most this fraction of the gap."""
_TIME_DIGITS = 13
_ERA_MS = 2**46
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SINCE_1970 = "04"
"""A lower bound of every rank made from a time since 1970."""


def rank_at(time: datetime, task_id: str) -> str:
    """Return the rank of a task created at `time`: later sorts later, and ties in a millisecond are rare."""
    ms = (time - _EPOCH) // timedelta(milliseconds=1)
    return f"{ms + _ERA_MS:0{_TIME_DIGITS}x}{crc32(task_id.encode()) & 0xFFFF:04x}i"


def rank_in_batch(time: datetime, place: int, task_id: str) -> str:
    """Return the rank of a task created at `time` together with others, after `place` of them.

    `place` is below 65,536. A task created a millisecond later sorts later.
    """
    ms = (time - _EPOCH) // timedelta(milliseconds=1)
    return f"{ms + _ERA_MS:0{_TIME_DIGITS}x}{place:04x}{crc32(task_id.encode()) & 0xFFFF:04x}i"


def rank_between(before: str | None, after: str | None, seed: str) -> str:
    """Return a rank strictly between two, where None is the end of the list. It never ends in "0".

    The same three arguments always give the same rank. Another seed, such as another task's id, nearly always
    gives another rank, so that two users who move tasks to one place at once seldom tie. Neighbours may be
    any texts. Raise `ValueError` if they are out of order or equal, or if nothing fits: "a" and "a0" are the
    same fraction.
    """
    low = before or ""
    high = _SINCE_1970 if before is None and after is None else after
    if high is not None and low >= high:
        raise ValueError(f"{low!r} does not come before {high!r}")
    shared = _shared(low, high or "")
    jitter = crc32(seed.encode(errors="surrogatepass"))
    rest = _fraction(low[len(shared) :], None if high is None else high[len(shared) :], jitter)
    if rest is not None:
        return shared + rest
    if high is None or not high.startswith(low):  # foreign digits: any text that starts with `low` fits
        return low + _text(_ROOM // 2 + _unrounded(jitter % (_ROOM // 2)), 4)
    raise ValueError(f"there is no rank between {low!r} and {high!r}")


def _shared(one: str, other: str) -> str:
    """Return the common prefix."""
    end = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return min(one, other, key=len) if end is None else one[:end]


def _fraction(low: str, high: str | None, jitter: int) -> str | None:
    """Return the digits of a fraction between two, or None if these have the same value."""
    places = max(len(low), len(high or ""), _TIME_DIGITS) + 5
    lows = _values(low, places)
    highs = _next_time(lows) if high is None else _values(high, places)
    longer = len(low) - len(high or "")
    from_ = to = 0
    for place in range(places):
        from_, to = from_ * _BASE + lows[place], to * _BASE + highs[place]
        if to - from_ >= _ROOM and to <= _BASE ** (place + 1):
            return _text(_chosen(from_, to, longer, jitter), place + 1)
    return None


def _next_time(values: list[int]) -> list[int]:
    """Return the next fraction that has only as many digits as a time."""
    last = _TIME_DIGITS - 1
    return [*values[:last], values[last] + 1, *[0] * (len(values) - _TIME_DIGITS)]


def _values(text: str, places: int) -> list[int]:
    """Return the values of a text's first digits, padded with zeros.

    A foreign character ends the text, and has the value of the next higher digit: our ranks on either side of
    the text are on the same side of that value.
    """
    values = [0] * places
    for place, character in enumerate(text[:places]):
        values[place] = bisect_left(DIGITS, character)
        if character not in DIGITS:
            break
    return values


def _chosen(from_: int, to: int, longer: int, jitter: int) -> int:
    """Return a number between two: next to the longer of them, or in the middle if they are equally long.

    `longer` is the length of `from_` minus that of `to`.
    """
    gap = to - from_
    if longer == 0:
        return _unrounded(from_ + gap * 3 // 8 + jitter % (gap // 4))
    step = gap // (2 * _NEAR) + jitter % (gap // (2 * _NEAR))
    return _unrounded(from_ + step if longer > 0 else to - step)


def _unrounded(number: int) -> int:
    return number if number % _BASE else number + 1


def _text(number: int, places: int) -> str:
    digits = []
    for _ in range(places):
        number, value = divmod(number, _BASE)
        digits.append(DIGITS[value])
    return "".join(reversed(digits))
