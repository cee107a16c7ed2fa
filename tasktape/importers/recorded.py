"""Events of Tasktape's own exports in XES: they have the type and the data that the log recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.tasks.fields import FIELDS

IMPORTED = frozenset(name for name, field in FIELDS.items() if field.rules.imported)
"""The fields that imported events can set."""
_BY_STATUS = {"done": "task.completed", "open": "task.reopened"}


def recorded(kind: str, data: str) -> tuple[str, dict[str, Any]] | None:
    """Return the type and the data of an imported event; None if it changes nothing that is imported.

    Raise `ValueError` for anything else than an object.
    """
    found = orjson.loads(data)
    if not isinstance(found, dict):
        raise ValueError("is not an object")  # noqa: TRY004  # of a value in a file
    match kind:
        case "task.created":
            return kind, _imported(found)
        case "task.completed" | "task.reopened":
            return kind, {name: found[name] for name in ("stage", "assignees") if found.get(name) is not None}
        case "task.moved" | "task.restored" if found.get("stage") is not None:
            return _edit({"stage": found["stage"]}, found.get("status"))
        case "task.skipped":
            return _edit({"due": found.get("due")}, None)
        case "task.edited" | "task.undone" | "task.reverted" if isinstance(found.get("fields"), dict):
            return _edit(found["fields"], found["fields"].get("status"))
        case _:
            return None


def _edit(fields: Mapping[str, Any], status: str | None) -> tuple[str, dict[str, Any]] | None:
    """Return an edit, or what it is called if it changes the status."""
    imported = _imported(fields)
    if status is not None:
        placed = {name: imported[name] for name in ("stage", "assignees") if imported.get(name) is not None}
        return _BY_STATUS[status], placed
    return ("task.edited", imported) if imported else None


def _imported(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in IMPORTED}
