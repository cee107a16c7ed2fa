"""Many commands in one request, each with an outcome of its own: `POST /api/bulk`."""

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
"""Commands in one request."""


class BulkCommand(Command):
    """One of many commands. `task_id` says on which task, unless one is to be created.

    Of `restore_list`, `list_id` says which list.
    """

    command: ActionName
    task_id: TaskId | None = None
    list_id: ListId | None = Field(None, description="With `restore_list` only")
    body: dict[str, Any] = Field(
        default_factory=dict, description="What the body would be if the command came alone"
    )
    if_match: int | None = Field(None, ge=0, le=2**53, description="The version that it is meant for")
    cascade: bool = Field(False, description="Sub-tasks too")
    scope: Scope | None = None
    key: str | None = Field(
        None, description="Its own Idempotency-Key: it is done once, in whichever requests it comes"
    )


class Bulk(Command):
    """Many commands. Those on tasks that have to do with each other are carried out in their order."""

    # Each is looked at by itself: a bad one spoils no other.
    commands: list[SkipValidation[BulkCommand]] = Field(max_length=MAX_BULK)


class BulkOutcome(BaseModel):
    """What became of one command: what it would have been answered with if it had come alone."""

    status: int = Field(examples=[200])
    position: str | None = Field(None, description="Where its event lies, if one was written")
    location: str | None = Field(None, description="Of what was created, or where to ask for the outcome")
    task: Task | None = Field(None, description="The task after it; not of a deleted one")
    list: TaskList | None = Field(None, description="The list after it, of a command on a list")
    problem: Problem | None = None


class BulkOut(BaseModel):
    """What became of each command, in their order."""

    outcomes: list[BulkOutcome]


AT_ONCE = 8
"""So many commands of a request are carried out at the same time, of those whose order does not matter."""
ON_LISTS = frozenset({"restore_list"})
"""The commands on lists; the others are on tasks."""
CREATED_LATER = "must not be there: the task does not exist yet"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that could be read, with its place among the others."""

    index: int
    action: TaskAction
    if_match: Precondition | None
    key: CommandKey | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command, as JSON, and the positions of its events."""

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
    command_key("", header, method="", path="", body=None)  # a bad one spoils all
    for index, raw in enumerate(given):
        try:
            entries.append(_entry(index, raw, _key(request, header, index, raw), strict=wanted.strict))
        except (Invalid, Malformed) as error:
            outcomes[index] = await _failure(request, error)
    room = asyncio.Semaphore(AT_ONCE)

    async def serve(family: Sequence[Entry]) -> None:
        async with room:
            for run in _runs(family):
                own = replace(terms, wait_s=max(0.0, deadline - time.monotonic()))
                outcomes.update(await _outcomes(request, run, own))

    await asyncio.gather(*(serve(family) for family in await _families(request, entries)))
    return _answer([outcomes[index] for index in range(len(given))], wanted.applied)


def _key(request: Request, header: str | None, index: int, raw: object) -> CommandKey | None:
    """Return the key of one of the commands: its own, or what follows from the request's key and its place.

    Raises `Invalid`.
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
    """One of the commands. Raises `Malformed` or `Invalid`."""
    if not isinstance(raw, dict):
        raise Malformed("a command is a JSON object")
    command = validated(BulkCommand, raw)
    name, problem = command.command, _misnamed(command)
    if command.cascade and not KINDS[name].cascades:
        problem = problem or FieldError("cascade", f"means nothing to {name!r}")
    elif command.scope is not None and name != "edit":
        problem = problem or FieldError("scope", f"means nothing to {name!r}")
    if problem is not None:
        raise Invalid([problem])
    action = TaskAction(name, command.task_id, command.body, command.cascade, command.scope, command.list_id)
    version = command.if_match
    if_match = None if version is None else Precondition(frozenset({version}), strict=strict)
    return Entry(index, action, if_match, key)


def _misnamed(command: BulkCommand) -> FieldError | None:
    """The problem with the id of the task or list that a command is on, if there is one."""
    name = command.command
    is_on_list = name in ON_LISTS
    if is_on_list == (command.list_id is None):
        return FieldError("list_id", "is required" if is_on_list else f"means nothing to {name!r}")
    if command.task_id is not None:
        if is_on_list:
            return FieldError("task_id", f"means nothing to {name!r}")
        return FieldError("task_id", CREATED_LATER) if name == "create" else None
    return None if is_on_list or name == "create" else FieldError("task_id", "is required")


# --- order -----------------------------------------------------------------------------------------------


async def _families(request: Request, entries: Sequence[Entry]) -> Sequence[Sequence[Entry]]:
    """Groups of commands that have something in common, so that the order in which they come matters.

    That is a task, one of the tasks above it, or a task or list that another is put beside or into. A command
    on a list has something in common with all others, whose tasks may be in it.
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
    """What has been joined, directly or by way of others (a union-find)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the one that stands for the group of `name`."""
        above = self._above.setdefault(name, name)
        while above != name:
            self._above[name] = self._above[above]  # halves the way for the next time
            name, above = above, self._above[above]
        return name

    def join(self, names: Sequence[str]) -> None:
        """Put all of these into one group."""
        first = self.of(names[0])
        for name in names[1:]:
            self._above[self.of(name)] = first


def _runs(family: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
    """Yield the commands in their order, with those together that create tasks of one list in a row."""
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
    """The tasks and lists that a command names; what is created in the inbox has that in common."""
    action = entry.action
    named = [action.task_id, *(action.body.get(name) for name in ("parent_id", "before", "after", "list_id"))]
    # The body is not checked yet: what is no id names nothing, and is the outcome of its own command.
    found = [name for name in named if isinstance(name, str) and is_uuid(name)]
    return found or ["inbox"]


# --- outcomes --------------------------------------------------------------------------------------------


async def _outcomes(request: Request, run: Sequence[Entry], terms: Terms) -> dict[int, Outcome]:
    """Carry out commands; whatever goes wrong with one is its outcome."""
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
    """Carry out one of the commands; whatever goes wrong is its outcome."""
    try:
        granted = await dependencies_of(request).task_actions.execute(entry.action, _own(terms, entry))
        return _success(granted, is_on_list=entry.action.list_id is not None)
    except Exception as error:  # noqa: BLE001
        return await _failure(request, error)


def _success(granted: ActionResult, *, is_on_list: bool) -> Outcome:
    result = granted.done.result
    told: dict[str, Any] = {"status": granted.status}
    if result.position is not None:
        told["position"] = str(result.position)
    if granted.location is not None:
        told["location"] = granted.location
    if isinstance(result, Pending):
        told |= {"status": 202, "location": f"{OUTCOMES_PATH}/{result.position}"}
        return Outcome(to_json(told), granted.done.positions)
    shown = b"" if granted.status == 204 else b',"%s":%s' % (b"list" if is_on_list else b"task", result.body)
    return Outcome(to_json(told)[:-1] + shown + b"}", granted.done.positions)


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
        "Carry out many commands on tasks; each has an outcome of its own",
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
