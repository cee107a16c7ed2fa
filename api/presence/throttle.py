"""Pacing: the latest of what comes too fast is kept and sent when it is due. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MAX_KEYS = 10_000


class Pacing(Generic[Key, Value]):
    """Lets one value of a key pass in `interval_s`. Of those that come in between, the last one waits."""

    def __init__(self, interval_s: float, max_keys: int = MAX_KEYS) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._passed: dict[Key, float] = {}
        self._waiting: dict[Key, Value] = {}
        self.shed = 0
        """How many found no room: of so many keys none is remembered."""

    def __bool__(self) -> bool:
        """Whether there is something to be asked for with `due`."""
        return bool(self._passed)

    def passes(self, key: Key, value: Value, now: float) -> bool:
        """Whether a value may be sent now; if not, it waits in place of the one that did."""
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
        """What has waited for long enough. It counts as sent."""
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
        """Send nothing of a key any more; the next value of it is still not let through too early."""
        self._waiting.pop(key, None)
