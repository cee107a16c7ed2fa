"""The results of statements: what PostgreSQL is asked for, and its rows as JSON, CSV, Arrow or Parquet.

A statement is wrapped in another one, which turns each row into what its format needs, and leaves out the
values of a row that is too large: so no such row reaches this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from projections.audit_sql.limits import MAX_ROW_BYTES

Format = Literal["json", "csv", "parquet", "arrow"]


class ResultColumn(NamedTuple):
    """A column of a result: its name, and the name of its type in PostgreSQL."""

    name: str
    type: str


class Carrier(NamedTuple):
    """The form in which a value reaches us for Arrow: an expression of it, and the name of Arrow's type."""

    expression: str
    arrow: str


_MICROSECONDS = "(extract(epoch FROM {0}) * 1000000)::bigint"
_CARRIERS: Mapping[str, Carrier] = {
    "bool": Carrier("{0}", "bool"),
    "int2": Carrier("{0}", "int16"),
    "int4": Carrier("{0}", "int32"),
    "int8": Carrier("{0}", "int64"),
    "float4": Carrier("{0}", "float32"),
    "float8": Carrier("{0}", "float64"),
    "numeric": Carrier("{0}", "decimal"),
    "text": Carrier("{0}", "string"),
    "uuid": Carrier("{0}", "uuid"),
    "bytea": Carrier("{0}", "binary"),
    "date": Carrier("{0} - DATE '1970-01-01'", "date32"),
    "timestamp": Carrier(_MICROSECONDS, "timestamp"),
    "timestamptz": Carrier(_MICROSECONDS, "timestamptz"),
    "bool[]": Carrier("{0}", "list<bool>"),
    "int4[]": Carrier("{0}", "list<int32>"),
    "int8[]": Carrier("{0}", "list<int64>"),
    "float8[]": Carrier("{0}", "list<float64>"),
    "text[]": Carrier("{0}", "list<string>"),
}
_AS_TEXT = Carrier("{0}::text", "string")
_AS_TEXTS = Carrier("{0}::text[]", "list<string>")
_EXACT_TEXT = {"numeric": "::text", "numeric[]": "::text[]"}
"""The types whose JSON is text, because readers would round the numbers."""


def carrier_of(kind: str) -> Carrier:
    """Return how values of a type reach us for Arrow: exactly, otherwise as text."""
    return _CARRIERS.get(kind) or (_AS_TEXTS if kind.endswith("[]") else _AS_TEXT)


def wrapped(sql: str, columns: Sequence[ResultColumn], form: Format) -> str:
    """Return the statement whose rows begin with their size, and then have what the format needs."""
    names = [f"c{place}" for place in range(1, len(columns) + 1)]
    values = _VALUES[form](names, [column.type for column in columns])
    shown = ", ".join(f"CASE WHEN size <= {MAX_ROW_BYTES} THEN {value} END" for value in values)
    # `OFFSET 0` keeps PostgreSQL from computing a value for each use. The statement may end with a comment.
    return f"""
        SELECT size, {shown}
        FROM (SELECT octet_length(q::text) AS size, q.* FROM (
            SELECT * FROM ({sql}
            ) AS given OFFSET 0
        ) AS q({", ".join(names)}) OFFSET 0) AS sized
    """  # noqa: S608


def _json(names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    values = (name + _EXACT_TEXT.get(kind, "") for name, kind in zip(names, kinds, strict=True))
    return [f"json_build_array({', '.join(values)})::text"]


def _csv(names: Sequence[str], _kinds: Sequence[str]) -> list[str]:
    return [f"ARRAY[{', '.join(f'{name}::text' for name in names)}]"]


def _arrow(names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    return [carrier_of(kind).expression.format(name) for name, kind in zip(names, kinds, strict=True)]


_VALUES: Mapping[Format, Callable[[Sequence[str], Sequence[str]], list[str]]] = {
    "json": _json,
    "csv": _csv,
    "arrow": _arrow,
    "parquet": _arrow,
}
