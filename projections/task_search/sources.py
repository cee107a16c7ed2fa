"""The rows among which tasks are found: those of the present, or those that were valid at a past moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.search.sorting import SortKey
from projections.postgres.periods import Moment
from projections.postgres.sql_parameters import Parameters
from projections.read_models.task_versions import INDEXED_ORDERS


@dataclass(frozen=True, slots=True)
class Source:
    """A table for walks and one for lookups, as rows `t`; if `moment` is set, only those valid then count.

    At a moment, the newest version of a task is valid if it has begun; a past one also must not have ended.
    """

    walked: str = "tasks t"
    looked_up: str = "task_search AS t(id)"
    moment: Moment | None = None
    is_past: bool = False

    def can_be_walked(self, key: SortKey) -> bool:
        """Return whether the table for walks has an index in this order."""
        return not self.is_past or key in INDEXED_ORDERS

    def valid(self, parameters: Parameters) -> Sequence[str]:
        """Return the conditions that a row `t` is valid at the moment."""
        if self.moment is None:
            return ()
        begun = self.moment.has_begun(parameters)
        return (begun, self.moment.has_not_ended(parameters)) if self.is_past else (begun,)

    def skipped(self, parameters: Parameters) -> Sequence[str]:
        """Return those of these conditions by which a walk skips rows, because its index has the columns."""
        return () if self.is_past else self.valid(parameters)

    def checked(self, parameters: Parameters) -> Sequence[str]:
        """Return the others, which a walk checks for each row that it examines."""
        return self.valid(parameters) if self.is_past else ()

    @property
    def blocks(self) -> Sequence[int]:
        """The blocks of which a valid row has one, if there is an index of them."""
        return self.moment.blocks if self.moment is not None and self.is_past else ()

    def found_by(self, parameters: Parameters) -> Sequence[str]:
        """Return the conditions on a row `t` by which an index finds those that may be valid."""
        return [f"t.blocks && {parameters.add(self.blocks, 'bigint[]')}"] if self.blocks else []


PRESENT = Source()


def unchanged_since(moment: Moment) -> Source:
    """Return the tasks that are as they were."""
    return Source(moment=moment)


def versions_at(moment: Moment) -> Source:
    """Return the past versions of the tasks that have changed since."""
    return Source("task_versions t", "task_versions t", moment, is_past=True)
