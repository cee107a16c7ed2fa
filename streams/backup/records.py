"""Records in a backup: their canonical bytes, and the digest of a partition that follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from struct import Struct, error
from typing import NamedTuple

from app.log.canonical_bytes import LENGTH, PLACE, canonical_bytes
from app.log.records import Headers

NO_RECORDS = bytes(32)
"""The digest of a partition before its first record."""
_ENTRY = Struct(">IB")
"""Length of the canonical bytes, and the timestamp's type: 0 by the producer, 1 by the broker."""


class LogRecord(NamedTuple):
    """A record as it lies in Kafka."""

    partition: int
    offset: int
    timestamp_ms: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def canonical(self) -> bytes:
        """Its canonical bytes."""
        return canonical_bytes(
            self.partition, self.offset, self.timestamp_ms, self.key, self.value, self.headers
        )


def entry(canonical: bytes, timestamp_type: int) -> bytes:
    """Return a record as it is in a block: its length, its timestamp's type, its canonical bytes."""
    return _ENTRY.pack(len(canonical), timestamp_type) + canonical


def read_entries(block: bytes) -> Iterator[tuple[LogRecord, bytes]]:
    """Return the records of a block with their canonical bytes. Raise `ValueError` for malformed ones."""
    at = 0
    try:
        while at < len(block):
            length, timestamp_type = _ENTRY.unpack_from(block, at)
            at += _ENTRY.size
            canonical = block[at : at + length]
            if len(canonical) < length:
                raise ValueError("a record is longer than its block")
            at += length
            yield _record(canonical, timestamp_type), canonical
    except (error, UnicodeDecodeError) as malformed:
        raise ValueError(str(malformed)) from malformed


def _record(canonical: bytes, timestamp_type: int) -> LogRecord:
    unpack, size = LENGTH.unpack_from, LENGTH.size
    partition, offset, timestamp_ms = PLACE.unpack_from(canonical)
    key, at = _text(canonical, PLACE.size)
    value, at = _text(canonical, at)
    (count,) = unpack(canonical, at)
    at += size
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        (length,) = unpack(canonical, at)
        at += size + _positive(length)
        name = canonical[at - length : at].decode()
        (length,) = unpack(canonical, at)
        at += size
        if length < 0:
            headers.append((name, None))
        else:
            at += length
            headers.append((name, canonical[at - length : at]))
    if at != len(canonical):
        raise ValueError("the lengths inside a record do not fit")
    return LogRecord(partition, offset, timestamp_ms, timestamp_type, key, value, headers)


def _positive(length: int) -> int:
    if length < 0:
        raise ValueError("a header has no name")
    return length


def _text(canonical: bytes, at: int) -> tuple[bytes | None, int]:
    (length,) = LENGTH.unpack_from(canonical, at)
    at += LENGTH.size
    return (None, at) if length < 0 else (canonical[at : at + length], at + length)


class PartitionDigest:
    """The digest of a partition up to an offset.

    That of no records is 32 zeros. Each record makes the next: the SHA-256 of the digest before it, followed
    by its canonical bytes. Two logs with the same digest at the same offset are equal up to there.
    """

    __slots__ = ("_last", "_last_digest", "end", "value")

    def __init__(self, end: int = 0, value: bytes = NO_RECORDS, last: bytes = NO_RECORDS) -> None:
        self.end = end
        self.value = value
        self._last: bytes | None = None
        self._last_digest = last

    def add(self, canonical: bytes) -> None:
        """Add the next record of the partition."""
        self.end += 1
        self.value = sha256(self.value + canonical).digest()
        self._last = canonical

    @property
    def last(self) -> bytes:
        """The SHA-256 of the last record's canonical bytes."""
        return self._last_digest if self._last is None else sha256(self._last).digest()
