"""What there is to say of the connection behind updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was made."""

    user: str
    channels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection broke, or could not be made; it is tried again after `retry_in_s`."""

    reason: str
    retry_in_s: float


Told = Callable[[Connected | Disconnected], None]
