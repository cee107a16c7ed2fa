"""Throttling: the latest of values that arrive too fast is kept and sent when it is due. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MAX_KEYS = 10_000


class Throttle(Generic[Key, Value]):
    """Passes one value of each key in `interval_s`. The last of those that arrive in between waits."""

    def __init__(self, interval_s: float, max_keys: int = MAX_KEYS) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._passed: dict[Key, float] = {}
        self._waiting: dict[Key, Value] = {}
        self.shed = 0
        """The number of values that were shed: there were too many keys."""

    def __bool__(self) -> bool:
        """Return True if `due` may return something later."""
        return bool(self._passed)

    def passes(self, key: Key, value: Value, now: float) -> bool:
        """Return True if a value may be sent now; otherwise it replaces the waiting one."""
        passed = self._passed.get(key)
        if passed is None and len(self._passed) >= self._max_keys:
            self.shed += 1
            return False
        if passed is not None and now < passed + self._interval_s:
            self._waiting[key] = value
            return False
        self._passed[key] = now
        self._waiting.pop(key, None)
        return True

    def due(self, now: float) -> list[tuple[Key, Value]]:
        """Return the values that have waited long enough. They count as sent."""
        over = [key for key, passed in self._passed.items() if now >= passed + self._interval_s]
        found = []
        for key in over:
            if key in self._waiting:
                self._passed[key] = now
                found.append((key, self._waiting.pop(key)))
            else:
                del self._passed[key]
        return found

    def drop(self, key: Key) -> None:
        """Discard the waiting value of a key; its next value still has to wait for the interval."""
        self._waiting.pop(key, None)
