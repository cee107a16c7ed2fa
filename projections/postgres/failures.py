"""Failures of projecting: those that come of a record, which is parked, and those that pass by themselves."""

from __future__ import annotations

import asyncpg

from app.errors import Unavailable, WrongLog
from projections.postgres.database import AWAY

_ENVIRONMENT: tuple[type[BaseException], ...] = (
    MemoryError,
    Unavailable,
    WrongLog,
    # A full disk, no memory, too many connections.
    asyncpg.InsufficientResourcesError,
    # An administrator, a time limit, a start or a stop.
    asyncpg.OperatorInterventionError,
    # Deadlocks, and transactions that another one got in the way of.
    asyncpg.TransactionRollbackError,
    asyncpg.PostgresSystemError,
    # Missing tables and missing rights.
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.DataCorruptedError,
    asyncpg.IndexCorruptedError,
)


def comes_of_record(error: BaseException) -> bool:
    """Whether a batch failed for what is in it, rather than for what is around it.

    What is not known to come of the environment comes of a record: then one record is parked, with its
    reason, and can be retried, where otherwise nobody's records would be projected any more.
    """
    if not isinstance(error, Exception) or isinstance(error, _ENVIRONMENT):
        return False
    # asyncpg also says so of values that it cannot send.
    is_refused_value = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    return is_refused_value or not isinstance(error, AWAY)
