"""Query parameters of past times: the time of the events, or the time when the log recorded them."""

from __future__ import annotations

from pydantic import Field

from api.commands.past_moments import past_moment
from api.http.query import Instant, Query
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
    return past_moment(query.as_of, query.as_recorded_at)
