"""The result of an import: counts and refusals."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasktape.importers.xes import Refused
from tasktape_client.models import Imported

MAX_NAMED = 1_000
"""The number of refused and diverged tasks to name; the others are only counted."""


@dataclass(slots=True)
class Summary:
    """Counts of an import."""

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
    stages: dict[str, str] = field(default_factory=dict)
    added_stages: list[str] = field(default_factory=list)
    settled: int = 0

    def take(self, imported: Imported) -> None:
        """Add the result of one batch."""
        self.tasks += imported.tasks
        self.events += imported.events
        self.added += imported.added
        self.present += imported.present
        self.diverged += len(imported.diverged)
        self.diverged_tasks.extend(imported.diverged[: MAX_NAMED - len(self.diverged_tasks)])
        self.stages |= imported.stages
        self.added_stages.extend(imported.added_stages)
        self.settled += imported.settled
        for partition, offset in imported.positions.items():
            self.positions[int(partition)] = max(offset, self.positions.get(int(partition), -1))

    def refuse(self, refusal: Refused) -> None:
        """Add a part that cannot be imported."""
        self.refused += 1
        if len(self.refusals) < MAX_NAMED:
            self.refusals.append(refusal)

    def skip_empty(self) -> None:
        """Count a trace without events."""
        self.empty += 1
