"""The header and the footer of a backup: JSON that says what the file holds, and on what it is based."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from app.positions import MAX_PARTITIONS
from streams.backup.records import PartitionDigest


def _digest(value: object) -> bytes:
    digest = bytes.fromhex(value) if isinstance(value, str) else value
    if not isinstance(digest, bytes) or len(digest) != 32:
        raise ValueError("not a SHA-256 in hexadecimal")
    return digest


Digest = Annotated[
    bytes, PlainValidator(_digest), PlainSerializer(lambda value: value.hex(), return_type=str)
]
Count = Annotated[int, Field(ge=0)]


class _Json(BaseModel):
    """A part of the JSON; members that this release does not know are ignored."""

    model_config = ConfigDict(frozen=True)


class Base(_Json):
    """The backup that an increment continues."""

    digest: Digest
    file: str


class Mark(_Json):
    """The state of a partition at an offset: its digest, and the SHA-256 of the record before."""

    partition: Count
    offset: Count
    digest: Digest
    last: Digest

    @classmethod
    def of(cls, partition: int, digest: PartitionDigest) -> Mark:
        """Return the mark at the end of what was digested."""
        return cls(partition=partition, offset=digest.end, digest=digest.value, last=digest.last)

    def digest_from_here(self) -> PartitionDigest:
        """Return a digest that continues from here."""
        return PartitionDigest(self.offset, self.digest, self.last)


class Header(_Json):
    """The first block: where the records come from, and which they are.

    `starts` has the marks before the first record of each partition; `ends` has the offset after its last.
    `policies` has the offsets up to which policies had reacted, if they are known.
    """

    created_at: datetime
    created_by: str
    topic: str
    cluster_id: str
    recorded_until: datetime | None
    base: Base | None
    starts: Annotated[tuple[Mark, ...], Field(min_length=1, max_length=MAX_PARTITIONS)]
    ends: Mapping[int, Count]
    policies: Mapping[int, Count] | None

    @property
    def records(self) -> int:
        """The number of records that the file should have."""
        return sum(self.ends[start.partition] - start.offset for start in self.starts)


class Footer(_Json):
    """The last block: what was written before it. `ends` has the marks after the last records."""

    records: Count
    record_bytes: Count
    ends: tuple[Mark, ...]


def parse_header(payload: bytes) -> Header:
    """Parse a header. Raise `ValueError` for one that contradicts itself."""
    try:
        header = Header.model_validate_json(payload)
    except ValidationError as error:
        raise ValueError(_first(error)) from error
    starts = {start.partition: start.offset for start in header.starts}
    if sorted(starts) != list(range(len(header.starts))) or starts.keys() != header.ends.keys():
        raise ValueError("its partitions do not go from 0 on")
    if any(starts[partition] > end for partition, end in header.ends.items()):
        raise ValueError("it ends before it starts")
    if header.base is None and any(starts.values()):
        raise ValueError("it names no base, and does not start at 0")
    return header


def parse_footer(payload: bytes) -> Footer:
    """Parse a footer. Raise `ValueError`."""
    try:
        return Footer.model_validate_json(payload)
    except ValidationError as error:
        raise ValueError(_first(error)) from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
