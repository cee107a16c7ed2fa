"""What became of an import: counts, and what was refused."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasktape.importers.xes import Refused

MAX_NAMED = 1_000
"""How many refused and diverged tasks are named; beyond that they are counted."""


@dataclass(slots=True)
class Summary:
    """Counts of an import; several threads may add to it."""

    tasks: int = 0
    events: int = 0
    added: int = 0
    present: int = 0
    diverged: int = 0
    empty: int = 0
    refused: int = 0
    diverged_tasks: list[str] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, answer: Mapping[str, Any]) -> None:
        """Add the server's answer to one batch."""
        with self._lock:
            self.tasks += answer["tasks"]
            self.events += answer["events"]
            self.added += answer["added"]
            self.present += answer["present"]
            diverged: Sequence[str] = answer["diverged"]
            self.diverged += len(diverged)
            self.diverged_tasks.extend(diverged[: MAX_NAMED - len(self.diverged_tasks)])
            for partition, offset in answer["positions"].items():
                self.positions[int(partition)] = max(offset, self.positions.get(int(partition), -1))

    def refuse(self, refusal: Refused) -> None:
        """Add something that can't be imported."""
        with self._lock:
            self.refused += 1
            if len(self.refusals) < MAX_NAMED:
                self.refusals.append(refusal)

    def skip_empty(self) -> None:
        """Count a trace that has no events, and so tells of no task."""
        with self._lock:
            self.empty += 1
