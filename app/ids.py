"""Identifiers: time-ordered ids for new things, derived ids for things that must exist only once."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID, uuid5

IdFactory = Callable[[], str]
"""A source of new, time-ordered ids (UUIDv7, RFC 9562) as text; the composition root provides it."""

_NAMESPACE = UUID("5f0e2f43-7f0b-5d0e-9a77-7461736b7470")


def derived_id(*parts: str) -> str:
    """Return the UUIDv5 (RFC 9562) of `parts`: the same parts always give the same id, on every node."""
    return str(uuid5(_NAMESPACE, "\x1f".join(parts)))


def inbox_id(user: str) -> str:
    """Return the id of a user's inbox list."""
    return derived_id("inbox", user)


def is_uuid(text: str) -> bool:
    """Return whether `text` is a UUID in canonical lower-case form."""
    return _CANONICAL.fullmatch(text) is not None


_CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
