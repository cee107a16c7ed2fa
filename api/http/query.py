"""Query parameters: whole numbers, times, filters and pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from app.text.names import normal_user
from app.values import (
    Due,
    instant,
)

PAGE_LIMIT = 200
PAGE_DEFAULT = 50
_NUMBER = re.compile(r"^(0|[1-9][0-9]{0,15})\Z")
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def _offset_as_sent(value: str) -> str:
    """Restore `+`: in a query string it means a space, also in the offset of an unescaped time."""
    return value.replace(" ", "+")


def _instant(value: str) -> datetime:
    return instant(_offset_as_sent(value)).astimezone(UTC)


def whole_number(text: str) -> int:
    """Parse a number as query strings spell it: digits, and nothing else. Raise `ValueError`."""
    if not _NUMBER.match(text):
        raise ValueError("should be a whole number, in digits")
    return int(text)


def truth(text: str) -> bool:
    """Parse a truth value as query strings spell it. Raise `ValueError`."""
    if text not in _TRUTHS:
        raise ValueError(f"should be one of {', '.join(_TRUTHS)}")
    return _TRUTHS[text]


Instant = Annotated[datetime, BeforeValidator(_instant)]
UserFilter = Annotated[str, AfterValidator(normal_user)]
DueBound = Annotated[Due, BeforeValidator(_offset_as_sent)]


class Query(BaseModel):
    """A query string; unknown parameters are refused, and each value has one spelling only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Parse a number or a truth value strictly; everything else is text already."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = get_args(annotation) or (annotation,)
        if not isinstance(value, str):
            return value
        if int in kinds:
            return whole_number(value)
        return truth(value) if bool in kinds else value


class PageQuery(Query):
    """A page of a collection."""

    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_LIMIT, description="Maximum number of items in a page")
    cursor: str | None = Field(None, description="`next_cursor` of the previous page")
