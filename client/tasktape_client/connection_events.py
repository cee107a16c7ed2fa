"""Events of the connection that delivers updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was established."""

    user: str
    channels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection was lost or failed. The next attempt is made after `retry_in_s`."""

    reason: str
    retry_in_s: float


ConnectionListener = Callable[[Connected | Disconnected], None]
