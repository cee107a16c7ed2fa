"""Past moments that requests name: by the times of events, or by those at which the log recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from app.errors import FieldError, Invalid
from projections.postgres.periods import Clock, Moment

TIME_FIELDS: Mapping[Clock, str] = {"event": "as_of", "recorded": "as_recorded_at"}
"""The field of a request that has a time of each clock."""


def past_moment(as_of: datetime | None, as_recorded_at: datetime | None) -> Moment | None:
    """Return the moment of these fields, None without one. Raise `Invalid` for two."""
    if as_of is not None and as_recorded_at is not None:
        raise Invalid([FieldError("as_recorded_at", "give as_of or as_recorded_at, not both")])
    if as_recorded_at is not None:
        return Moment(as_recorded_at, "recorded")
    return None if as_of is None else Moment(as_of)


def invalid_time(moment: Moment, detail: str) -> Invalid:
    """Return the error for the field that has the time of a moment."""
    return Invalid([FieldError(TIME_FIELDS[moment.clock], detail)])
