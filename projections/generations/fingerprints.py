"""Fingerprints of read models: equal if the rows of a table that another release made can be kept.

That of one read model covers its columns, its `VERSION`, and what all of them are given. The version of a
generation covers all read models and their indexes, which are made anew for copied rows too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import sha256

from sqlalchemy import Index
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from projections.read_models.registry import BY_NAME, GENERATION_TABLES, INPUT_VERSION

_VERSIONS = 10**9
"""Versions of generations have at most nine digits."""


def fingerprint(name: str) -> str:
    """Return the fingerprint of a read model."""
    read_model = BY_NAME[name]
    return _hash(map(str, (INPUT_VERSION, read_model.VERSION, *_ddl(name))))


def version_of_all() -> int:
    """Return the version of generations of this code."""
    indexes = [CreateIndex(index) for table in GENERATION_TABLES for index in _in_order(table.indexes)]
    return int(_hash([*map(fingerprint, BY_NAME), *map(_text, indexes)]), 16) % _VERSIONS


@cache
def _ddl(name: str) -> tuple[str, ...]:
    return tuple(_text(CreateTable(table)) for table in BY_NAME[name].TABLES)


def _in_order(indexes: Iterable[Index]) -> Iterable[Index]:
    return sorted(indexes, key=lambda index: str(index.name))


def _text(ddl: ExecutableDDLElement) -> str:
    return str(ddl.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


def _hash(texts: Iterable[str]) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()
