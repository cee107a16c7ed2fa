"""How much finding tasks looks at before it tries another way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Numbers of tasks, but for `abreast` and `wide`.

    Tasks are gathered at once if the database expects no more than `expected`, or `expected_wide` if the
    other way were a walk along more shelves than `wide`. Else a walk is tried for the first `walked`, or four
    times as far if half is found by then. Then tasks are gathered, if they are not more than `gathered`; more
    are frequent enough to walk on. A statement looks at `at_once` at most, of `abreast` shelves at first. Of
    what has changed since a time that is asked for, `changed` are looked up one by one.
    """

    expected: int = 2_500
    expected_wide: int = 6_000
    wide: int = 100
    walked: int = 1_000
    gathered: int = 8_000
    at_once: int = 4_000
    abreast: int = 32
    changed: int = 10_000
