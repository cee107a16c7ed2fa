"""Cursors: where a page ended, as opaque text that only fits the query it came from.

A cursor grants nothing, as every page asks anew what its reader may see; the digest is there to find damage
and mix-ups early.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from pydantic_core import from_json, to_json

from app.errors import Malformed

DIGEST_BYTES = 8
MAX_CURSOR_CHARS = 16_384
"""Room for an offset of each of the partitions that a log may have."""


def encode_cursor(query: str, place: list[Any]) -> str:
    """Text that stands for `place`, a list of JSON values, in the results of `query`."""
    payload = to_json(place)
    return urlsafe_b64encode(_digest(query, payload) + payload).rstrip(b"=").decode()


def decode_cursor(query: str, cursor: str, length: int) -> list[Any]:
    """The place, of `length` values, that a cursor stands for. Raises `Malformed`."""
    place = _read(query, cursor)
    if place is None or len(place) != length:
        raise Malformed("cursor: not one that this query gave; start again without it")
    return place


def _read(query: str, cursor: str) -> list[Any] | None:
    if not cursor.isascii() or len(cursor) > MAX_CURSOR_CHARS:
        return None
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        return None
    digest, payload = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
    if digest != _digest(query, payload):
        return None
    place = from_json(payload)
    return place if isinstance(place, list) else None


def _digest(query: str, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=DIGEST_BYTES, person=_person(query)).digest()


def _person(query: str) -> bytes:
    return hashlib.blake2b(query.encode(), digest_size=16).digest()
