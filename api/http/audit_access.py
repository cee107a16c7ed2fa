"""Admission to the audit: what the caller may see, and the record that somebody reads events of others."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request

from api.http.dependencies import caller_of, dependencies_of
from app.audit.access import Means, Reader
from app.audit.query import AuditQuery
from app.positions import Position


def reader_of(request: Request) -> Reader:
    """Return the caller as a reader of the audit."""
    caller = caller_of(request)
    return Reader(caller.user, sees_all=caller.sees_all)


def question_of(query: AuditQuery) -> str:
    """Return the text of a question, as it is recorded: its filters as in a query string."""
    return urlencode(query.parameters()) or "everything"


async def record_access(request: Request, query: AuditQuery, means: Means) -> Position | None:
    """Record that the caller reads events of others; return the position of the record.

    Return None if the caller would see the events without being an administrator or an auditor. Call it
    before the answer, for each page: the recorder writes one event for a question. Raise `Unavailable`.
    """
    deps, reader = dependencies_of(request), reader_of(request)
    if not reader.sees_all or await deps.audit_events.are_own(query, reader.user):
        return None
    return await deps.access.record(reader.user, means, question_of(query))
