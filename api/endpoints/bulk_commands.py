"""The commands of a bulk request: their schema, and the parsing of each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field, SkipValidation
from starlette.requests import Request

from api.commands.entity_tags import Precondition
from api.commands.idempotency import CommandKey, command_key
from api.commands.task_actions import ACTIONS, ActionName
from api.http.dependencies import caller_of
from app.errors import FieldError, Invalid, Malformed
from app.validation import validated
from app.values import Command, ListId, Scope, TaskId

MAX_BULK = 1_000
"""The most commands in one request."""
ON_LISTS = frozenset({"restore_list"})
"""The commands on lists; the others are on tasks."""
CREATED_LATER = "must be absent: the task does not exist yet"


class BulkCommand(Command):
    """One of many commands. `task_id` is the task it is for, except with `create`.

    With `restore_list`, `list_id` is the list.
    """

    command: ActionName
    task_id: TaskId | None = None
    list_id: ListId | None = Field(None, description="With `restore_list` only")
    body: dict[str, Any] = Field(
        default_factory=dict, description="The request body of the command on its own"
    )
    if_match: int | None = Field(None, ge=0, le=2**53, description="The version that the command expects")
    cascade: bool = Field(False, description="Include sub-tasks")
    scope: Scope | None = None
    key: str | None = Field(
        None, description="Its own Idempotency-Key: it is carried out once, whichever requests contain it"
    )


class Bulk(Command):
    """Many commands. Related tasks' commands are carried out in their order."""

    # Each is validated separately, so that an invalid one does not fail the others.
    commands: list[SkipValidation[BulkCommand]] = Field(max_length=MAX_BULK)


@dataclass(frozen=True, slots=True)
class Entry:
    """A valid command, with its index in the request."""

    index: int
    command: BulkCommand
    if_match: Precondition | None
    key: CommandKey | None


def entry_of(request: Request, index: int, raw: object, *, strict: bool) -> Entry:
    """Parse one of the commands. Raise `Malformed` or `Invalid`."""
    key = _key(request, index, raw)
    if not isinstance(raw, dict):
        raise Malformed("a command is a JSON object")
    command = validated(BulkCommand, raw)
    name, problem = command.command, _misnamed(command)
    if command.cascade and not ACTIONS[name].cascades:
        problem = problem or FieldError("cascade", f"has no meaning for {name!r}")
    elif command.scope is not None and name != "edit":
        problem = problem or FieldError("scope", f"has no meaning for {name!r}")
    if problem is not None:
        raise Invalid([problem])
    version = command.if_match
    if_match = None if version is None else Precondition(frozenset({version}), strict=strict)
    return Entry(index, command, if_match, key)


def _key(request: Request, index: int, raw: object) -> CommandKey | None:
    """Return the key of one of the commands: its own, or one derived from the request's key and its index.

    Raise `Invalid`.
    """
    user, path = caller_of(request).user, request.url.path
    own = raw.get("key") if isinstance(raw, dict) else None
    if isinstance(own, str):
        try:
            return command_key(user, own, method="POST", path=path, body=raw)
        except Malformed as error:
            raise Invalid([FieldError("key", error.detail.removeprefix("Idempotency-Key "))]) from None
    key = command_key(user, request.headers.get("idempotency-key"), method="POST", path=path, body=raw)
    return None if key is None else key.part(str(index))


def _misnamed(command: BulkCommand) -> FieldError | None:
    """Return the error in the id of the task or list that a command is for, if there is one."""
    name = command.command
    is_on_list = name in ON_LISTS
    if is_on_list == (command.list_id is None):
        return FieldError("list_id", "is required" if is_on_list else f"has no meaning for {name!r}")
    if command.task_id is not None:
        if is_on_list:
            return FieldError("task_id", f"has no meaning for {name!r}")
        return FieldError("task_id", CREATED_LATER) if name == "create" else None
    return None if is_on_list or name == "create" else FieldError("task_id", "is required")
