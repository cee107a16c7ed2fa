"""Identifiers: time-ordered ones for what is new, derived ones for what must not be made twice."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid5

IdFactory = Callable[[], str]
"""Makes a new, time-ordered id (UUIDv7, RFC 9562) as text; given by the composition root."""

_NAMESPACE = UUID("5f0e2f43-7f0b-5d0e-9a77-7461736b7470")


def derived_id(*parts: str) -> str:
    """The UUIDv5 (RFC 9562) of `parts`: the same parts give the same id on every node, for ever."""
    return str(uuid5(_NAMESPACE, "\x1f".join(parts)))


def inbox_id(user: str) -> str:
    """The id of a user's inbox list."""
    return derived_id("inbox", user)


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical, lower-case form."""
    try:
        return len(text) == 36 and str(UUID(text)) == text
    except ValueError:
        return False
