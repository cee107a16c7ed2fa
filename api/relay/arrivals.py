"""Arrivals: callbacks for each update that a node publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.log.updates import Update


class Arrivals:
    """The callbacks of a node."""

    def __init__(self) -> None:
        self._callbacks: dict[Callable[[Update], None], None] = {}

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def notify(self, update: Update) -> None:
        """Call back with an update."""
        for callback in self._callbacks:
            callback(update)

    @contextmanager
    def calling(self, callback: Callable[[Update], None]) -> Iterator[None]:
        """Call back with each update in the block."""
        self._callbacks[callback] = None
        try:
            yield
        finally:
            del self._callbacks[callback]
