"""The port to locks that all processes respect; PostgreSQL's advisory locks implement it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

LockModes = Mapping[str, bool]
"""Lock names → whether to lock exclusively."""


class ClusterHold(Protocol):
    """Locks that are held."""

    async def release(self) -> None:
        """Release them."""


class ClusterLocks(Protocol):
    """Locks by name, shared or exclusive, for the commands of the API and the repairs of the worker."""

    async def acquire(self, modes: LockModes, timeout_s: float) -> ClusterHold:
        """Acquire all of them. Raise `Unavailable`."""
