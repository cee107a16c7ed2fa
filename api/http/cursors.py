"""Cursors: the end of a page as opaque text that is only valid for the query it came from.

A cursor grants nothing, as every page checks again what its reader may see. The digest detects damage and
mix-ups early. Anybody could forge a cursor, so its content is validated like other input.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from app.errors import Malformed
from app.values import storable

DIGEST_BYTES = 8
MAX_CURSOR_CHARS = 16_384
"""Enough for an offset of each partition that a log may have."""

End = TypeVar("End")


def _in_calendar(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar's end") from None


Partition = Annotated[int, Field(ge=0, lt=2**31)]
Offset = Annotated[int, Field(ge=-1, lt=2**63)]
"""Also a version; -1 is before the first."""
Time = Annotated[AwareDatetime, AfterValidator(_in_calendar)]
Text = Annotated[str, AfterValidator(storable)]
TIME_AND_ID: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[Time, Text])
"""The end of a page in collections that are ordered by creation time."""


def encode_cursor(query: str, end: list[Any]) -> str:
    """Return text that encodes `end`, a list of JSON values, in the results of `query`."""
    payload = to_json(end)
    return urlsafe_b64encode(_digest(query, payload) + payload).rstrip(b"=").decode()


def decode_cursor(query: str, cursor: str, end: TypeAdapter[End]) -> End:
    """Return the end of a page that a cursor encodes. Raise `Malformed` if it is not of `query`."""
    payload = _payload(query, cursor)
    if payload is not None:
        try:
            return end.validate_json(payload, strict=True)
        except ValidationError:
            pass
    raise Malformed("cursor: not valid for this query; start again without it")


def _payload(query: str, cursor: str) -> bytes | None:
    if not cursor.isascii() or len(cursor) > MAX_CURSOR_CHARS:
        return None
    try:
        raw = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    digest, payload = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
    return payload if digest == _digest(query, payload) else None


def _digest(query: str, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=DIGEST_BYTES, person=_person(query)).digest()


def _person(query: str) -> bytes:
    return hashlib.blake2b(query.encode(), digest_size=16).digest()
