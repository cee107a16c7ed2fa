"""The canonical bytes of a record: everything that Kafka keeps of it, except the timestamp's type.

Backups contain them, and trees are made of them (docs/reference/backup-format.md). Numbers are big-endian.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from app.log.records import Headers

PLACE = Struct(">IQq")
"""Partition, offset, timestamp in ms."""
LENGTH = Struct(">i")
NULL = LENGTH.pack(-1)
NAMES_KEPT = 1000


def canonical_bytes(
    partition: int, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers
) -> bytes:
    """Return the canonical bytes: place, key, value, the number of headers, and each header."""
    pack = LENGTH.pack
    parts = [PLACE.pack(partition, offset, timestamp_ms)]
    for text in (key, value):
        parts += (NULL,) if text is None else (pack(len(text)), text)
    parts.append(pack(len(headers)))
    for name, text in headers:
        parts += (_named(name), NULL) if text is None else (_named(name), pack(len(text)), text)
    return b"".join(parts)


@lru_cache(maxsize=NAMES_KEPT)
def _named(name: str) -> bytes:
    """Return the name of a header with its length; there are few different ones."""
    encoded = name.encode()
    return LENGTH.pack(len(encoded)) + encoded
