"""Many commands in one request, each with its own outcome: `POST /api/bulk`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from pydantic import (
    BaseModel,
    Field,
    SkipValidation,
)
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.commands.entity_tags import Precondition
from api.commands.idempotency import CommandKey, command_key
from api.commands.requests import Pending
from api.commands.task_actions import KINDS, ActionName, ActionResult, TaskAction, Terms
from api.http.bodies import read_object
from api.http.dependencies import caller_of, dependencies_of
from api.http.problems import Problem, on_error
from api.http.query import Query
from api.http.requests import preference_of, query_of, terms_of
from api.http.responses import OUTCOMES_PATH, json_answer
from api.http.routing import Endpoint, command
from app.errors import FieldError, Invalid, Malformed
from app.ids import is_uuid
from app.lists.state import TaskList
from app.tasks.state import Task
from app.validation import validated
from app.values import (
    Command,
    ListId,
    Scope,
    TaskId,
)

MAX_BULK = 1_000
"""The most commands in one request."""


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


class BulkOutcome(BaseModel):
    """The outcome of one command: the response that it would have had on its own."""

    status: int = Field(examples=[200])
    position: str | None = Field(None, description="Position of its event, if one was written")
    location: str | None = Field(None, description="Address of what was created, or of the pending outcome")
    task: Task | None = Field(None, description="The task after the command; absent if deleted")
    list: TaskList | None = Field(None, description="The list after a command on a list")
    problem: Problem | None = None


class BulkOut(BaseModel):
    """The outcome of each command, in their order."""

    outcomes: list[BulkOutcome]


AT_ONCE = 8
"""The most independent commands of a request that are carried out concurrently."""
ON_LISTS = frozenset({"restore_list"})
"""The commands on lists; the others are on tasks."""
CREATED_LATER = "must be absent: the task does not exist yet"


@dataclass(frozen=True, slots=True)
class Entry:
    """A valid command, with its index in the request."""

    index: int
    action: TaskAction
    if_match: Precondition | None
    key: CommandKey | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command as JSON, and the positions of its events."""

    body: bytes
    positions: Mapping[int, int]


async def bulk(request: Request) -> Response:
    """POST /api/bulk."""
    query_of(request, Query)
    body = await read_object(request, dependencies_of(request).settings.body_limit_bytes)
    given: Sequence[Any] = validated(Bulk, body).commands
    wanted = preference_of(request)
    terms, deadline = terms_of(request, wanted, None), time.monotonic() + wanted.wait_s
    outcomes: dict[int, Outcome] = {}
    entries: list[Entry] = []
    header = request.headers.get("idempotency-key")
    command_key("", header, method="", path="", body=None)  # an invalid header fails the whole request
    for index, raw in enumerate(given):
        try:
            entries.append(_entry(index, raw, _key(request, header, index, raw), strict=wanted.strict))
        except (Invalid, Malformed) as error:
            outcomes[index] = await _failure(request, error)
    limit = asyncio.Semaphore(AT_ONCE)

    async def serve(family: Sequence[Entry]) -> None:
        async with limit:
            for run in _runs(family):
                own = replace(terms, wait_s=max(0.0, deadline - time.monotonic()))
                outcomes.update(await _outcomes(request, run, own))

    await asyncio.gather(*(serve(family) for family in await _families(request, entries)))
    return _answer([outcomes[index] for index in range(len(given))], wanted.applied)


def _key(request: Request, header: str | None, index: int, raw: object) -> CommandKey | None:
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
    key = command_key(user, header, method="POST", path=path, body=raw)
    return None if key is None else key.part(str(index))


def _entry(index: int, raw: object, key: CommandKey | None, *, strict: bool) -> Entry:
    """Parse one of the commands. Raise `Malformed` or `Invalid`."""
    if not isinstance(raw, dict):
        raise Malformed("a command is a JSON object")
    command = validated(BulkCommand, raw)
    name, problem = command.command, _misnamed(command)
    if command.cascade and not KINDS[name].cascades:
        problem = problem or FieldError("cascade", f"has no meaning for {name!r}")
    elif command.scope is not None and name != "edit":
        problem = problem or FieldError("scope", f"has no meaning for {name!r}")
    if problem is not None:
        raise Invalid([problem])
    action = TaskAction(name, command.task_id, command.body, command.cascade, command.scope, command.list_id)
    version = command.if_match
    if_match = None if version is None else Precondition(frozenset({version}), strict=strict)
    return Entry(index, action, if_match, key)


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


# --- order -----------------------------------------------------------------------------------------------


async def _families(request: Request, entries: Sequence[Entry]) -> Sequence[Sequence[Entry]]:
    """Return groups of related commands, within which the order matters.

    Commands are related by a task, by one of its ancestors, or by a task or list that another is moved next
    to or into. A command on a list is related to all others, whose tasks may be in the list.
    """
    if any(entry.action.list_id is not None for entry in entries):
        return [entries]
    named = {anchor for entry in entries for anchor in _anchors(entry)}
    tops = await dependencies_of(request).task_actions.tops(named)
    groups = _Groups()
    for entry in entries:
        groups.join([tops.get(anchor, anchor) for anchor in _anchors(entry)])
    families: dict[str, list[Entry]] = {}
    for entry in entries:
        anchor = next(iter(_anchors(entry)))
        families.setdefault(groups.of(tops.get(anchor, anchor)), []).append(entry)
    return list(families.values())


class _Groups:
    """Names that are joined, directly or transitively (a union-find)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the representative of the group of `name`."""
        above = self._above.setdefault(name, name)
        while above != name:
            self._above[name] = self._above[above]  # path halving
            name, above = above, self._above[above]
        return name

    def join(self, names: Sequence[str]) -> None:
        """Put all of these into one group."""
        first = self.of(names[0])
        for name in names[1:]:
            self._above[self.of(name)] = first


def _runs(family: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
    """Yield the commands in order; combine consecutive creations of tasks in the same list."""
    for (is_creation, _), run in groupby(family, key=lambda entry: (_is_creation(entry), _list_named(entry))):
        entries = list(run)
        if is_creation:
            yield entries
        else:
            yield from ([entry] for entry in entries)


def _is_creation(entry: Entry) -> bool:
    is_plain = entry.action.body.get("parent_id") is None and entry.if_match is None
    return entry.action.name == "create" and is_plain


def _list_named(entry: Entry) -> str | None:
    list_id = entry.action.body.get("list_id")
    return list_id if isinstance(list_id, str) else None


def _anchors(entry: Entry) -> Sequence[str]:
    """Return the tasks and lists that a command names; creations in the inbox are related by it."""
    action = entry.action
    named = [action.task_id, *(action.body.get(name) for name in ("parent_id", "before", "after", "list_id"))]
    # The body is not validated yet: an invalid id relates to nothing, and fails its own command.
    found = [name for name in named if isinstance(name, str) and is_uuid(name)]
    return found or ["inbox"]


# --- outcomes --------------------------------------------------------------------------------------------


async def _outcomes(request: Request, run: Sequence[Entry], terms: Terms) -> dict[int, Outcome]:
    """Carry out commands; an error of one is its outcome."""
    if len(run) == 1:
        return {run[0].index: await _outcome(request, run[0], terms)}
    wanted = [(entry.action, _own(terms, entry)) for entry in run]
    try:
        found = await dependencies_of(request).task_actions.create_together(wanted)
    except Exception as error:  # noqa: BLE001
        return {entry.index: await _failure(request, error) for entry in run}
    return {
        entry.index: _success(each, is_on_list=False)
        if isinstance(each, ActionResult)
        else await _failure(request, each)
        for entry, each in zip(run, found, strict=True)
    }


def _own(terms: Terms, entry: Entry) -> Terms:
    return replace(terms, if_match=entry.if_match, key=entry.key)


async def _outcome(request: Request, entry: Entry, terms: Terms) -> Outcome:
    """Carry out one of the commands; an error is its outcome."""
    try:
        executed = await dependencies_of(request).task_actions.execute(entry.action, _own(terms, entry))
        return _success(executed, is_on_list=entry.action.list_id is not None)
    except Exception as error:  # noqa: BLE001
        return await _failure(request, error)


def _success(executed: ActionResult, *, is_on_list: bool) -> Outcome:
    result = executed.done.result
    summary: dict[str, Any] = {"status": executed.status}
    if result.position is not None:
        summary["position"] = str(result.position)
    if executed.location is not None:
        summary["location"] = executed.location
    if isinstance(result, Pending):
        summary |= {"status": 202, "location": f"{OUTCOMES_PATH}/{result.position}"}
        return Outcome(to_json(summary), executed.done.positions)
    shown = b"" if executed.status == 204 else b',"%s":%s' % (b"list" if is_on_list else b"task", result.body)
    return Outcome(to_json(summary)[:-1] + shown + b"}", executed.done.positions)


async def _failure(request: Request, error: Exception) -> Outcome:
    problem = await on_error(request, error)
    return Outcome(b'{"status":%d,"problem":%s}' % (problem.status_code, bytes(problem.body)), {})


def _answer(outcomes: Sequence[Outcome], applied: str | None) -> Response:
    positions: dict[int, int] = {}
    for outcome in outcomes:
        for partition, offset in outcome.positions.items():
            positions[partition] = max(offset, positions.get(partition, -1))
    headers = {} if applied is None else {"Preference-Applied": applied}
    body = b'{"outcomes":[%s]}' % b",".join(outcome.body for outcome in outcomes)
    return json_answer(body, positions=positions, headers=headers)


_ID = "0190f3c0-0000-7000-8000-000000000000"

ENDPOINTS: tuple[Endpoint, ...] = (
    command(
        "POST",
        "/api/bulk",
        bulk,
        "Carry out many commands on tasks; each has its own outcome",
        body=Bulk,
        example={
            "commands": [
                {"command": "create", "body": {"title": "Buy milk"}},
                {"command": "edit", "task_id": _ID, "body": {"priority": "high"}, "if_match": 3},
                {"command": "complete", "task_id": _ID, "cascade": True},
            ]
        },
        query=Query,
        versioned=False,
        many=True,
        answers={200: BulkOut},
    ),
)
