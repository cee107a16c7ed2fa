"""How much finding tasks looks at before it tries another way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Numbers of tasks, but for `abreast`.

    A walk is tried for the first `walked`, or for the first `read` if it has to look at their words, which
    takes longer. Then tasks are gathered, if they are not more than `gathered`; more are frequent enough to
    walk on. A statement looks at `at_once` at most, of `abreast` shelves at first. Of what has changed since
    a time that is asked for, `changed` are looked up one by one.
    """

    walked: int = 2_000
    read: int = 600
    gathered: int = 2_500
    at_once: int = 4_000
    abreast: int = 32
    changed: int = 10_000
