"""Import circles between modules: at run time, for types only, or inside functions."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "projections", "streams", "api", "tasktape", "client/tasktape_client")


def modules() -> dict[str, Path]:
    """Return the modules of the product by their dotted names."""
    found = {}
    for package in PACKAGES:
        folder = ROOT / package
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_by(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the product that a module imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            full = {f"{node.module}.{each.name}" for each in node.names}
            found |= {each if each in known else node.module for each in full}
    return found & known.keys()


def test_no_import_is_circular() -> None:
    known = modules()
    assert len(known) > 300
    graph = {name: imported_by(path, known) - {name} for name, path in known.items()}
    assert tuple(TopologicalSorter(graph).static_order())
