"""Concurrent changes: the three-way merge by field that `If-Match` requests.

Changes of different fields merge. Within the same field, tags and assignees merge as sets, and notes merge as
text where the changes do not overlap. Any other field that both sides changed to different values is a
conflict. It names exactly the fields that cannot be merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.conflicts.text_merge import merge_texts
from app.errors import Conflict, PreconditionFailed
from app.lists.commands import DeleteList, EditList, ListCommand, RemoveMember, SetMember
from app.lists.decide import wanted_fields as wanted_list_fields
from app.lists.members import role_of
from app.lists.state import LIST_FIELDS, TaskList
from app.tasks.commands import (
    CompleteTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    SkipOccurrence,
    TaskCommand,
    UndoChange,
    wanted_fields,
)
from app.tasks.fields import FIELDS
from app.tasks.state import TASK_FIELDS, Task
from app.values import Role

INDEPENDENT = frozenset({"comment_count", "reminded", "rank"})
"""Fields that change independently of commands, and never conflict."""
OCCURRENCE = frozenset({"due", "time_zone", "recurrence", "recurrence_from", "series", "status"})
"""The fields that determine the occurrence of a series."""


def merge_sets(base: tuple[str, ...], theirs: tuple[str, ...], yours: tuple[str, ...]) -> tuple[str, ...]:
    """Apply the additions and removals of both sides to the base; keep the order of `theirs`."""
    taken = set(base) - set(yours)
    kept = [value for value in theirs if value not in taken]
    return (*kept, *(value for value in yours if value not in base and value not in kept))


_MERGES: Mapping[str, Callable[[Any, Any, Any], Any]] = {"text": merge_texts, "set": merge_sets}
_MERGED: Mapping[str, tuple[Callable[[Any, Any, Any], Any], TypeAdapter[Any]]] = {
    name: (_MERGES[field.rules.merge], TypeAdapter(field.rules.merged or field.rules.accepts))
    for name, field in FIELDS.items()
    if field.rules.merge != "whole"
}
"""The merge of a field, and the bounds of its result."""


def merged(command: TaskCommand, base: Task, current: Task) -> TaskCommand:
    """Return `command`, which was made for `base`, as it applies to `current`.

    Raise `Conflict` with the fields that cannot be merged. Raise `PreconditionFailed` for deleting a task
    that has changed meanwhile, also by undoing its creation; for undoing the newest change, if another change
    may be the newest now; and for skipping an occurrence, if another one is current now.
    """
    changed_since = _changed_since(TASK_FIELDS, base, current) - INDEPENDENT
    if isinstance(command, DeleteTask) and changed_since:
        raise PreconditionFailed(_read_first("task", current.version, "deleting"))
    if isinstance(command, UndoChange) and command.version in (None, 1) and changed_since:
        raise PreconditionFailed(_read_first("task", current.version, "undoing"))
    if isinstance(command, SkipOccurrence) and changed_since & OCCURRENCE:
        raise PreconditionFailed(_read_first("task", current.version, "skipping"))
    fields = _merged_fields(
        _yours(command), changed_since, base, current, patch=isinstance(command, EditTask)
    )
    return command.model_copy(update=fields) if fields else command


def merged_list(command: ListCommand, base: TaskList, current: TaskList) -> ListCommand:
    """Merge a command on a list: its name, its stages and the role of each member are fields."""
    changed_since = _changed_since(LIST_FIELDS, base, current)
    match command:
        case DeleteList() if changed_since:
            raise PreconditionFailed(_read_first("list", current.version, "deleting"))
        case EditList():
            fields = _merged_fields(wanted_list_fields(command), changed_since, base, current, patch=True)
            return command.model_copy(update=fields) if fields else command
        case SetMember(user=user, role=role):
            _check_member(user, role, base, current)
        case RemoveMember(user=user):
            _check_member(user, None, base, current)
        case _:
            pass
    return command


def _changed_since(names: Iterable[str], base: object, current: object) -> frozenset[str]:
    return frozenset(name for name in names if getattr(base, name) != getattr(current, name))


def _yours(command: TaskCommand) -> dict[str, Any]:
    """Return the fields that a command sets, with their values."""
    match command:
        case EditTask():
            return wanted_fields(command)
        case MoveTask(list_id=list_id, stage=stage):
            wanted = {"list_id": list_id, "stage": stage}
            return {name: value for name, value in wanted.items() if value is not None}
        case CompleteTask():
            return {"status": "done"}
        case ReopenTask():
            return {"status": "open"}
        case _:
            return {}


def _merged_fields(
    yours: Mapping[str, Any],
    changed_since: frozenset[str],
    base: Task | TaskList,
    current: Task | TaskList,
    *,
    patch: bool,
) -> dict[str, Any]:
    """Return the fields whose merged values differ from `yours`. Raise `Conflict`.

    A field of a `patch` with the base's value counts as unchanged, so the value of the other side stays.
    Other commands always set their values.
    """
    merged_values: dict[str, Any] = {}
    apart: list[str] = []
    for name in sorted(changed_since.intersection(yours)):
        before, theirs, mine = getattr(base, name), getattr(current, name), yours[name]
        if patch and mine == before:
            merged_values[name] = theirs
        elif mine != theirs:
            merged_values[name] = _combined(name, before, theirs, mine)
            apart += [name] if merged_values[name] is None else []
    if apart:
        raise Conflict(
            f"somebody else changed {', '.join(apart)} since version {base.version}",
            base={name: getattr(base, name) for name in apart},
            theirs={name: getattr(current, name) for name in apart},
            yours={name: yours[name] for name in apart},
        )
    return merged_values


def _combined(name: str, before: Any, theirs: Any, yours: Any) -> Any:
    """Combine both changes of a field; return None if that is impossible or exceeds the field's bounds."""
    if name not in _MERGED:
        return None
    merge, bounds = _MERGED[name]
    try:
        return bounds.validate_python(merge(before, theirs, yours))
    except ValidationError:
        return None


def _check_member(user: str, yours: Role | None, base: TaskList, current: TaskList) -> None:
    """Check that nobody else has changed a member's role or removed the member. Raise `Conflict`."""
    before, theirs = role_of(base, user), role_of(current, user)
    if theirs not in (before, yours):
        raise Conflict(
            f"somebody else changed the role of {user} since version {base.version}",
            base={"members": {user: before}},
            theirs={"members": {user: theirs}},
            yours={"members": {user: yours}},
        )


def _read_first(what: str, version: int, before: str) -> str:
    return f"the {what} is at version {version} by now; read it before {before} it"
