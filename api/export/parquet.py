"""Parquet: a row for each event. `data` and `changes` are JSON, as text; times are in UTC."""

from __future__ import annotations

from io import RawIOBase
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from api.export.encoders import Page

GROUP_EVENTS = 20_000
GROUP_BYTES = 32 * 1024 * 1024
"""A row group ends with the page with which it reaches either."""
COMPRESSION = "zstd"
_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("type", pa.string()),
        pa.field("stream", pa.string()),
        pa.field("version", pa.int64()),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("time", _TIME),
        pa.field("recorded_at", _TIME, nullable=False),
        pa.field("actor", pa.string()),
        pa.field("source", pa.string()),
        pa.field("correlation_id", pa.string()),
        pa.field("causation_id", pa.string()),
        pa.field("data", pa.string(), nullable=False),
        pa.field("changes", pa.string(), nullable=False),
    ]
)


class ParquetFile:
    """The encoder of a Parquet file."""

    def __init__(self) -> None:
        self._file = _Bytes()
        self._writer = pq.ParquetWriter(self._file, SCHEMA, compression=COMPRESSION)
        self._waiting: list[pa.RecordBatch] = []
        self._events = self._size_bytes = 0

    def encode(self, page: Page) -> bytes:
        """See `Encoder.encode`."""
        batch = record_batch(page)
        self._waiting.append(batch)
        self._events += batch.num_rows
        self._size_bytes += batch.nbytes
        if self._events >= GROUP_EVENTS or self._size_bytes >= GROUP_BYTES:
            self._write_group()
        return self._take()

    def end(self) -> bytes:
        """See `Encoder.end`."""
        self._write_group()
        self._writer.close()
        return self._take()

    def _write_group(self) -> None:
        if self._events:
            table = pa.Table.from_batches(self._waiting, SCHEMA)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._events, self._size_bytes = [], 0, 0

    def _take(self) -> bytes:
        return self._file.take()


class _Bytes(RawIOBase):
    """A file whose bytes are taken away as they are written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written_bytes += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written_bytes

    def take(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def record_batch(page: Page) -> pa.RecordBatch:
    """Return events as a batch of `SCHEMA`."""
    columns = [pa.array(values, field.type) for values, field in zip(page.columns(), SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
