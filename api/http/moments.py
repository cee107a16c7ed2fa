"""Query parameters of past times: the time of the events, or the time when the log recorded them."""

from __future__ import annotations

from pydantic import Field

from api.http.query import Instant, Query
from app.errors import FieldError, Invalid
from projections.postgres.periods import Moment


class MomentQuery(Query):
    """A past time; without one, the present."""

    as_of: Instant | None = Field(None, description="As of this time, RFC 3339")
    as_recorded_at: Instant | None = Field(
        None,
        description="As the log knew it at this time, RFC 3339; it differs for imported history",
    )


def moment_of(query: MomentQuery) -> Moment | None:
    """Return the past moment of a query, if there is one. Raise `Invalid` for two."""
    if query.as_of is not None and query.as_recorded_at is not None:
        raise Invalid([FieldError("as_recorded_at", "give as_of or as_recorded_at, not both")])
    if query.as_recorded_at is not None:
        return Moment(query.as_recorded_at, "recorded")
    return None if query.as_of is None else Moment(query.as_of)
