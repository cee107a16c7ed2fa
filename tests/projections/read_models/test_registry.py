"""The registry of read models is complete: every module, every table, and nobody else writes them."""

from __future__ import annotations

import ast
import pkgutil
import re
from collections import Counter
from inspect import iscoroutinefunction
from pathlib import Path

from projections import read_models as package
from projections.postgres import tables
from projections.read_models.registry import GENERATION_TABLES, READ_MODELS, name_of
from tests.sources import PACKAGES, ROOT, modules

NO_READ_MODELS = {"registry", "projected", "audit_rows", "packed_states"}
"""The modules of the package that are about read models, but are none."""
WRITES = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM|copy_records_to_table\()\s*\"?(\w+)")


def test_every_module_of_the_package_is_listed_once() -> None:
    modules = {each.name for each in pkgutil.iter_modules(package.__path__)} - NO_READ_MODELS
    assert Counter(map(name_of, READ_MODELS)) == Counter(modules)


def test_every_table_belongs_to_one_read_model() -> None:
    listed = Counter(table.name for read_model in READ_MODELS for table in read_model.TABLES)
    others = {tables.checkpoints.name, tables.read_model_versions.name}
    assert listed == Counter(tables.read_models.tables.keys() - others)
    assert {table.name for table in GENERATION_TABLES} == tables.read_models.tables.keys()


def test_every_read_model_writes() -> None:
    assert [name_of(each) for each in READ_MODELS if not iscoroutinefunction(each.write)] == []
    assert [name_of(each) for each in READ_MODELS if not each.TABLES] == []


def test_only_a_read_model_writes_its_tables() -> None:
    owners = {table.name: name_of(each) for each in READ_MODELS for table in each.TABLES}
    found = {
        (table, Path(name).stem)
        for name, source in modules(*PACKAGES)
        for table in WRITES.findall(source)
        if table in owners
    }
    assert found == set(owners.items())


def test_the_projector_names_no_read_model() -> None:
    tree = ast.parse((ROOT / "projections/projector.py").read_text())
    imported = {
        node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("projections.read_models")
    }
    assert imported == {"projections.read_models.projected", "projections.read_models.registry"}


def test_every_read_model_is_documented_with_its_tables() -> None:
    documented = [
        re.findall(r"`(\w+)`", line)
        for line in (ROOT / "docs/explanation/the-loop.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    listed = [[name_of(each), *(table.name for table in each.TABLES)] for each in READ_MODELS]
    assert [row[: len(each)] for row, each in zip(documented, listed, strict=True)] == listed
