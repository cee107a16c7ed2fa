"""Rows of results as JSON, CSV, Arrow or Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from app.errors import FieldError, Invalid
from projections.audit_sql.results import Format, ResultColumn, carrier_of

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Sequence[Sequence[Any]]


def encoded(form: Format, columns: Sequence[ResultColumn], rows: Rows, *, truncated: bool) -> bytes:
    """Return the rows in a format. Raise `Invalid` for values that it cannot have."""
    match form:
        case "json":
            return _json(columns, rows, truncated=truncated)
        case "csv":
            return _csv(columns, rows)
        case "arrow":
            return _arrow(_table(columns, rows))
        case "parquet":
            return _parquet(_table(columns, rows))


def _json(columns: Sequence[ResultColumn], rows: Rows, *, truncated: bool) -> bytes:
    shown = to_json([column._asdict() for column in columns])
    lines = ",".join(row for (row,) in rows).encode()
    return b'{"columns":%s,"rows":[%s],"truncated":%s}' % (shown, lines, to_json(truncated))


def _csv(columns: Sequence[ResultColumn], rows: Rows) -> bytes:
    lines = [_line(column.name for column in columns), *(_line(row) for (row,) in rows)]
    return "".join(lines).encode()


def _line(values: Iterable[str | None]) -> str:
    """Return a line of CSV (RFC 4180). As in PostgreSQL's, an empty text has quotes, and a null has none."""
    return ",".join(map(_cell, values)) + "\r\n"


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    if value and not any(mark in value for mark in ',"\r\n'):
        return value
    return '"' + value.replace('"', '""') + '"'


def _arrow(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _parquet(table: pa.Table) -> bytes:
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _table(columns: Sequence[ResultColumn], rows: Rows) -> pa.Table:
    import pyarrow as pa

    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [_array(column, list(each)) for column, each in zip(columns, values, strict=True)]
    return pa.Table.from_arrays(arrays, names=_different([column.name for column in columns]))


def _array(column: ResultColumn, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    arrow = carrier_of(column.type).arrow
    try:
        if arrow == "decimal":
            return _decimals(values)
        if arrow == "uuid":
            raw = pa.array([None if each is None else each.bytes for each in values], pa.binary(16))
            return pa.ExtensionArray.from_storage(pa.uuid(), raw)
        return pa.array(values, _type(arrow))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        message = (
            f"the column {column.name} has values that Arrow's type {arrow} cannot have; cast it to text"
        )
        raise Invalid([FieldError("sql", message)]) from None


def _type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(_type(name[5:-1]))
    if name == "timestamptz":
        return pa.timestamp("us", tz="UTC")
    if name == "timestamp":
        return pa.timestamp("us")
    made: pa.DataType = getattr(pa, {"bool": "bool_"}.get(name, name))()
    return made


def _decimals(values: list[Any]) -> pa.Array:
    """Return decimals with as many digits as needed; texts if one is no number, or has too many digits."""
    import pyarrow as pa

    numbers = [each for each in values if each is not None]
    if not numbers:
        return pa.array(values, pa.decimal128(38, 0))
    if all(each.is_finite() for each in numbers):
        with suppress(pa.ArrowException, ValueError):
            return pa.array(values)
    return pa.array([None if each is None else str(each) for each in values], pa.string())


def _different(names: Sequence[str]) -> list[str]:
    """Return the names, with numbers where they are repeated: readers find columns by name."""
    found: list[str] = []
    for name in names:
        unused, number = name, 1
        while unused in found:
            number += 1
            unused = f"{name}_{number}"
        found.append(unused)
    return found
