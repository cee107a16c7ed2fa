"""The cost limits of finding tasks, after which another way is tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Numbers of tasks, except `abreast`; the last three are costs, in tasks that are looked up.

    Tasks are looked up at once if the database expects no more than `expected`, or that a walk would be more
    work. Otherwise a walk is tried for the first `walked` tasks, or four times as many if half is found by
    then. Then tasks are looked up, if they are not more than `gathered`; if they are more, they are frequent
    enough to continue the walk. One statement examines `at_once` tasks at most, of `abreast` status buckets
    at first.
    """

    expected: int = 1_500
    walked: int = 1_000
    walked_versions: int = 4_000
    """The same for past versions: most of them are of other times, and are skipped after a glance."""
    gathered: int = 30_000
    at_once: int = 4_000
    abreast: int = 32
    bucket: float = 20.0
    """The cost of finding the start of a status bucket."""
    step: float = 2.0
    """The cost of checking a task's search keys on a walk."""
    step_with_words: float = 10.0
    """The cost of checking its words too, which are in a row of another table."""

    def prefers_lookup(self, fitting: int, *, buckets: int, steps: float, with_words: bool) -> bool:
        """Return whether to look up so many tasks, instead of walking so many steps in so many buckets."""
        walk = buckets * self.bucket + steps * (self.step_with_words if with_words else self.step)
        return fitting <= self.expected or fitting <= min(self.gathered, walk)
