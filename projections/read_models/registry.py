"""The registry of read models: the only list of them, in the order in which a batch is written.

A read model is a module of this package that has the form of `ReadModel`. Everything that concerns all of
them walks `READ_MODELS`: the projector, the creation of tables, and the check for missing tables. One whose
tables or `VERSION` changed is rebuilt alone (`projections.generations.fingerprints`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from sqlalchemy import Index, Table

from projections.postgres.connections import Connection
from projections.postgres.tables import checkpoints, read_model_versions
from projections.read_models import (
    audit,
    audit_search,
    comments,
    dead_letters,
    lists,
    members,
    notifications,
    reminders,
    search_index,
    statistics,
    task_texts,
    task_versions,
    tasks,
    tree,
    users,
)
from projections.read_models.projected import ProjectedBatch

INPUT_VERSION = 16
"""Raised when what every read model is given changes: the fold, an upcaster, the JSON of events and states.

All of them are rebuilt then. One whose own `VERSION` or tables changed is rebuilt alone.
"""


class ReadModel(Protocol):
    """The form of a read model: a module with its tables, and the function that writes a batch into them."""

    @property
    def __name__(self) -> str:
        """The name of the module, whose last part is that of the read model."""

    @property
    def TABLES(self) -> Sequence[Table]:  # noqa: N802  # a constant of a module
        """The tables that only this read model writes."""

    @property
    def VERSION(self) -> int:  # noqa: N802  # a constant of a module
        """Raised when other rows are written for the same records, into the same columns."""

    async def write(self, connection: Connection, batch: ProjectedBatch) -> None:
        """Write what a batch of records changes; the transaction also moves the checkpoint."""


READ_MODELS: Sequence[ReadModel] = (
    task_versions,
    tasks,
    lists,
    members,
    users,
    comments,
    search_index,  # It reads the tasks and the comments of the batch.
    task_texts,
    reminders,
    notifications,
    statistics,
    audit,
    audit_search,
    dead_letters,
    tree,
)


def name_of(read_model: ReadModel) -> str:
    """Return the name of a read model, which is that of its module in this package."""
    return read_model.__name__.rpartition(".")[2]


BY_NAME: Mapping[str, ReadModel] = {name_of(each): each for each in READ_MODELS}
MADE_OF: Mapping[str, Collection[str]] = {"search_index": ("tasks", "comments")}
"""The read models whose `write` reads tables of others: they are rebuilt together with those."""
BY_RECORD: Sequence[str] = ("audit",)
"""Those whose rows each belong to one record, with its position: they can be rebuilt from a position on."""
FROM_STATES: Sequence[ReadModel] = (tasks, lists, members, users, search_index, reminders)
"""Those that depend on the newest states of streams only: a load writes them once, at its end."""
LATE_INDEXES: Sequence[Index] = tuple(
    index
    for each in (audit, audit_search, notifications, comments, task_versions, task_texts, *FROM_STATES)
    for table in each.TABLES
    for index in sorted(table.indexes, key=lambda index: str(index.name))
)
"""The indexes that no `write` needs: a load makes them at its end."""
GENERATION_TABLES: Sequence[Table] = (
    *(table for read_model in READ_MODELS for table in read_model.TABLES),
    checkpoints,
    read_model_versions,
)
"""The tables of a generation: those of its read models, its checkpoints, and what it is made of."""


def with_dependents(names: AbstractSet[str]) -> set[str]:
    """Return these read models, and those that are made of them."""
    return {*names, *(name for name, sources in MADE_OF.items() if not names.isdisjoint(sources))}
