"""Records in a backup: their canonical bytes, and the digest of a partition that follows from them.

The canonical bytes of a record are everything that Kafka keeps of it, except the timestamp's type, which
changes when the record is restored. Numbers are big-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from struct import Struct, error
from typing import NamedTuple

from app.log.records import Headers

NO_RECORDS = bytes(32)
"""The digest of a partition before its first record."""
_ENTRY = Struct(">IB")
"""Length of the canonical bytes, and the timestamp's type: 0 by the producer, 1 by the broker."""
_PLACE = Struct(">IQq")
"""Partition, offset, timestamp in ms."""
_LENGTH = Struct(">i")
_NULL = _LENGTH.pack(-1)
NAMES_KEPT = 1000


class LogRecord(NamedTuple):
    """A record as it lies in Kafka."""

    partition: int
    offset: int
    timestamp_ms: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def canonical_bytes(record: LogRecord) -> bytes:
    """Return the canonical bytes: place, key, value, the number of headers, and each header."""
    pack = _LENGTH.pack
    parts = [_PLACE.pack(record.partition, record.offset, record.timestamp_ms)]
    for text in (record.key, record.value):
        parts += (_NULL,) if text is None else (pack(len(text)), text)
    parts.append(pack(len(record.headers)))
    for name, text in record.headers:
        parts += (_named(name), _NULL) if text is None else (_named(name), pack(len(text)), text)
    return b"".join(parts)


@lru_cache(maxsize=NAMES_KEPT)
def _named(name: str) -> bytes:
    """Return the name of a header with its length; there are few different ones."""
    encoded = name.encode()
    return _LENGTH.pack(len(encoded)) + encoded


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
    unpack, size = _LENGTH.unpack_from, _LENGTH.size
    partition, offset, timestamp_ms = _PLACE.unpack_from(canonical)
    key, at = _text(canonical, _PLACE.size)
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
    (length,) = _LENGTH.unpack_from(canonical, at)
    at += _LENGTH.size
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
