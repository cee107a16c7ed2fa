"""Failures of projecting: those caused by a record, which is parked, and temporary ones."""

from __future__ import annotations

import asyncpg

from app.errors import Unavailable, WrongLog
from projections.postgres.database import DATABASE_UNAVAILABLE

_ENVIRONMENT: tuple[type[BaseException], ...] = (
    MemoryError,
    Unavailable,
    WrongLog,
    # A full disk, no memory, too many connections.
    asyncpg.InsufficientResourcesError,
    # An administrator, a time limit, a start or a stop.
    asyncpg.OperatorInterventionError,
    # Deadlocks, and transactions that conflict with another one.
    asyncpg.TransactionRollbackError,
    asyncpg.PostgresSystemError,
    # Missing tables and missing rights.
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.DataCorruptedError,
    asyncpg.IndexCorruptedError,
)


def is_caused_by_record(error: BaseException) -> bool:
    """Return whether a record of the batch caused the failure, rather than the environment.

    Unknown failures count as caused by a record. Then one record is parked, with its reason, and can be
    retried. Otherwise no further record would be projected.
    """
    if not isinstance(error, Exception) or isinstance(error, _ENVIRONMENT):
        return False
    # asyncpg also raises it for values that it cannot send.
    is_refused_value = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    return is_refused_value or not isinstance(error, DATABASE_UNAVAILABLE)
