"""The options of a replay, the same on all transports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.protocol.limits import DEFAULT_GAP_MS, MAX_GAP_MS, MAX_SPEED
from app.log.records import EVENT_TYPES
from app.values import instant

MAX_TYPES = 100


def _utc(value: object) -> object:
    return instant(value).astimezone(UTC) if isinstance(value, str) else value


def _known(name: str) -> str:
    if name not in EVENT_TYPES:
        raise PydanticCustomError("unknown_event_type", "there is no event type {name}", {"name": name[:60]})
    return name


def _in_order(first: datetime | None, last: datetime | None) -> None:
    if first is not None and last is not None and first > last:
        raise PydanticCustomError("order", "from must not be after to")


Time = Annotated[AwareDatetime, BeforeValidator(_utc)]
Speed = Annotated[float, Field(gt=0, le=MAX_SPEED, allow_inf_nan=False)]
GapMs = Annotated[int, Field(ge=0, le=MAX_GAP_MS)]
EventType = Annotated[str, AfterValidator(_known)]


class ReplayOptions(BaseModel):
    """The part of a list's past to replay, and its pace."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=True, serialize_by_alias=True
    )

    first: Time | None = Field(None, alias="from", description="Start; by default before the first event")
    last: Time | None = Field(None, alias="to", description="End; by default the last event")
    speed: Speed = Field(1.0, description="Gaps between events are divided by it")
    types: list[EventType] | None = Field(
        None, description="Only events of these types", min_length=1, max_length=MAX_TYPES
    )
    max_gap_ms: GapMs = Field(DEFAULT_GAP_MS, description="Longer gaps, after division, are shortened to it")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _in_order(self.first, self.last)
        return self
