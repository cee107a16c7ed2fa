"""Fingerprints change with everything that makes the rows of another release unlike ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Column, Index, MetaData, Table, Text

from projections.generations import fingerprints
from projections.generations.fingerprints import fingerprint, version_of_all
from projections.read_models.registry import BY_NAME, GENERATION_TABLES


def a_table(*more: Column[str], size: int = 80) -> Table:
    return Table("users", MetaData(), Column("id", Text), *more, postgresql_with={"fillfactor": size})


@pytest.fixture
def fingerprint_with(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Table], str]]:
    """Yield a function that returns the fingerprint of a read model with another table."""

    def found(table: Table) -> str:
        monkeypatch.setattr(BY_NAME["users"], "TABLES", (table,))
        fingerprints._ddl.cache_clear()
        return fingerprint("users")

    yield found
    fingerprints._ddl.cache_clear()


def test_columns_and_storage_of_a_table_change_its_fingerprint(
    fingerprint_with: Callable[[Table], str],
) -> None:
    tables = (
        a_table(),
        a_table(Column("name", Text)),
        a_table(Column("name", Text, nullable=False)),
        a_table(Column("name", Text(collation="C"))),
        a_table(size=70),
    )
    assert len({fingerprint_with(table) for table in tables}) == len(tables)
    assert fingerprint_with(a_table()) == fingerprint_with(a_table())


def test_a_version_changes_the_fingerprint_of_its_read_model_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before, of_all = {name: fingerprint(name) for name in BY_NAME}, version_of_all()
    monkeypatch.setattr(BY_NAME["statistics"], "VERSION", 99)
    assert {name for name in BY_NAME if fingerprint(name) != before[name]} == {"statistics"}
    assert version_of_all() != of_all


def test_the_version_of_what_all_are_given_changes_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: fingerprint(name) for name in BY_NAME}
    monkeypatch.setattr(fingerprints, "INPUT_VERSION", 99)
    assert [name for name in BY_NAME if fingerprint(name) == before[name]] == []


def test_an_index_changes_the_version_but_no_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before, of_all = {name: fingerprint(name) for name in BY_NAME}, version_of_all()
    table = a_table()
    Index("users_by_id", table.c.id)
    monkeypatch.setattr(fingerprints, "GENERATION_TABLES", (*GENERATION_TABLES, table))
    assert {name: fingerprint(name) for name in BY_NAME} == before
    assert version_of_all() != of_all


def test_every_process_finds_the_same_version() -> None:
    script = "from projections.generations.fingerprints import version_of_all as v; print(v())"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(found.stdout) == version_of_all() < 10**9
