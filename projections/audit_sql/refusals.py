"""The errors of PostgreSQL about statements, as errors of callers: with the place and the nearest name."""

from __future__ import annotations

import re

import asyncpg

from app.errors import FieldError, Invalid, TaskError, Unavailable
from projections.audit_sql.limits import DEADLINE_S, FIXED_SETTINGS, STATEMENT_S
from projections.audit_sql.statements import FIELD, nearest
from projections.audit_sql.views import VIEWS

_RELATION = re.compile(r'relation "([^"]*)"')
_COLUMN = re.compile(r'column "?([^" ]+)"? ')
_WORD = re.compile(r'"[^"]*"|[\w$]+(?:\.[\w$]+)*|.', re.DOTALL)
_FAULTS_OF_STATEMENTS = ("0A", "21", "22", "23", "25", "2F", "42", "54")
"""The classes of errors that a statement causes."""


def too_long() -> Invalid:
    """Return the error for a statement that runs too long."""
    return refused(
        f"was stopped: it may take {STATEMENT_S} s, and {DEADLINE_S} s with the reading of its rows"
    )


def too_large(row: int, size: int, limit: int) -> Invalid:
    """Return the error for a row that is too large."""
    return refused(f"returns {size:,} bytes in row {row:,}; a row may have {limit:,}")


def refusal_of(error: Exception, sql: str) -> TaskError:
    """Return the error for a caller whose statement PostgreSQL refused, or could not carry out."""
    match error:
        case asyncpg.QueryCanceledError() | asyncpg.IdleInTransactionSessionTimeoutError():
            return too_long()
        case asyncpg.OutOfMemoryError():
            return refused("needs more memory than a statement may use")
        case asyncpg.ConfigurationLimitExceededError():
            return refused(f"needs more than {FIXED_SETTINGS['temp_file_limit']} of temporary files")
        case asyncpg.InsufficientPrivilegeError():
            return refused(f"may read these views only: {', '.join(view.name for view in VIEWS)}")
        case asyncpg.PostgresError(sqlstate="25P04"):  # the time limit of transactions
            return too_long()
        case asyncpg.PostgresError() if (error.sqlstate or "")[:2] in _FAULTS_OF_STATEMENTS:
            return _with_place(error, sql)
        case _:
            return Unavailable("the database cannot carry out statements now")


def _with_place(error: asyncpg.PostgresError, sql: str) -> Invalid:
    message = f"{error.message or error}{_hint(error)}"
    place = int(error.position or 0) - 1
    if not 0 <= place < len(sql):
        return refused(message)
    word = _WORD.match(sql, place)
    return Invalid([FieldError(FIELD, message, at=place, length=len(word[0]) if word else 1)])


def _hint(error: asyncpg.PostgresError) -> str:
    message = str(error.message)
    if isinstance(error, asyncpg.UndefinedTableError) and (found := _RELATION.search(message)):
        return nearest(found[1], [view.name for view in VIEWS])
    if error.hint:
        return f"; {error.hint[0].lower()}{error.hint[1:]}".rstrip(".")
    if isinstance(error, asyncpg.UndefinedColumnError) and (found := _COLUMN.search(message)):
        return nearest(found[1].rpartition(".")[2], {each.name for view in VIEWS for each in view.columns})
    return ""


def refused(message: str) -> Invalid:
    """Return the error for a statement."""
    return Invalid([FieldError(FIELD, message)])
