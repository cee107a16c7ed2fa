"""How much finding tasks looks at before it tries another way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Numbers of tasks, but for `abreast`; the last three are what something costs, in gathered tasks.

    Tasks are gathered at once if the database expects no more than `expected`, or that a walk would be more
    work. Else a walk is tried for the first `walked`, or four times as far if half is found by then. Then
    tasks are gathered, if they are not more than `gathered`; more are frequent enough to walk on. A statement
    looks at `at_once` at most, of `abreast` shelves at first. Of what has changed since a time that is asked
    for, `changed` are looked up one by one.
    """

    expected: int = 1_500
    walked: int = 1_000
    gathered: int = 30_000
    at_once: int = 4_000
    abreast: int = 32
    changed: int = 10_000
    shelf: float = 20.0
    """To find where a shelf begins."""
    step: float = 2.0
    """To look at a task's facts on a walk."""
    step_with_words: float = 10.0
    """To look at its words, too, which are in a row of another table."""

    def rather_gathers(self, fitting: int, *, shelves: int, steps: float, with_words: bool) -> bool:
        """Whether to gather so many tasks, instead of walking so many steps along so many shelves."""
        walk = shelves * self.shelf + steps * (self.step_with_words if with_words else self.step)
        return fitting <= self.expected or fitting <= min(self.gathered, walk)
