"""The registry of read models: the only list of them, in the order in which a batch is written.

A read model is a module of this package that has the form of `ReadModel`. Everything that concerns all of
them walks `READ_MODELS`: the projector, the creation of tables, and the check for missing tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Index, Table

from projections.postgres.connections import Connection
from projections.postgres.tables import checkpoints
from projections.read_models import (
    audit,
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
    users,
)
from projections.read_models.projected import ProjectedBatch

READ_MODELS_VERSION = 16
"""Raised whenever a table or a projection changes; a live generation of another version is rebuilt."""


class ReadModel(Protocol):
    """The form of a read model: a module with its tables, and the function that writes a batch into them."""

    @property
    def TABLES(self) -> Sequence[Table]:  # noqa: N802  # a constant of a module
        """The tables that only this read model writes."""

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
    dead_letters,
)
FROM_STATES: Sequence[ReadModel] = (tasks, lists, members, users, search_index, reminders)
"""Those that depend on the newest states of streams only: a load writes them once, at its end."""
LATE_INDEXES: Sequence[Index] = tuple(
    index
    for each in (audit, notifications, comments, task_versions, task_texts, *FROM_STATES)
    for table in each.TABLES
    for index in sorted(table.indexes, key=lambda index: str(index.name))
)
"""The indexes that no `write` needs: a load makes them at its end."""
GENERATION_TABLES: Sequence[Table] = (
    *(table for read_model in READ_MODELS for table in read_model.TABLES),
    checkpoints,
)
"""The tables of a generation: those of its read models, and its checkpoints."""
