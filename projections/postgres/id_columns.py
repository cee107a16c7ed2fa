"""Ids in columns of the type `uuid`, whatever their text is.

An id in the canonical form of a UUID is stored as itself. Any other text, which only records of other
programs have, is stored as a UUID of version 8 that is made from its digest, and the text is kept beside it.
Ids that are themselves of version 8 are treated as such texts. So different texts have different UUIDs, and a
text always has the same one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

Id = TypeVar("Id", str, str | None)

_IS_ITSELF = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_VERSION, _VARIANT = 0x8000 << 64, 0x8000 << 48
_DIGEST = ~(0xF000 << 64 | 0xC000 << 48)


def is_itself(text: str | None) -> bool:
    """Return whether a column holds this id itself, so that its text need not be kept."""
    return text is None or _IS_ITSELF(text) is not None


def uuid_of(text: Id) -> Id:
    """Return the UUID that a column holds for an id."""
    if text is None or _IS_ITSELF(text):
        return text
    digest = int.from_bytes(sha256(text.encode()).digest()[:16])
    return str(UUID(int=digest & _DIGEST | _VERSION | _VARIANT))


def uuids_of(texts: Iterable[str]) -> list[str]:
    """Return the UUIDs that a column holds for some ids."""
    return [uuid_of(text) for text in texts]


def text_of(column: str, table: str = "audit") -> str:
    """Return the SQL of the text of an id; the texts that were kept are in `foreign_texts`, by column."""
    return f"coalesce({table}.foreign_texts ->> '{column}', {table}.{column}::text)"
