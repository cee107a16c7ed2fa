"""Many commands in one request, each with an outcome of its own: `POST /api/bulk`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.answers import OUTCOMES_PATH, json_answer
from api.asking import preference_of, query_of, terms_of
from api.bodies import read_object, validated
from api.commands import NotYetVisible
from api.edge import caller_of, edge_of
from api.entity_tags import Precondition
from api.idempotency import CommandKey, command_key
from api.problems import on_error
from api.schemas import Bulk, BulkCommand, Query
from api.wishes import KINDS, Granted, Terms, Wish
from app.errors import FieldError, Invalid, Malformed
from app.ids import is_uuid

AT_ONCE = 8
"""So many commands of a request are carried out at the same time, of those whose order does not matter."""
ON_LISTS = frozenset({"restore_list"})
"""The commands on lists; the others are on tasks."""
CREATED_LATER = "must not be there: the task does not exist yet"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that could be read, with its place among the others."""

    index: int
    wish: Wish
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
    body = await read_object(request, edge_of(request).settings.body_limit_bytes)
    given: Sequence[Any] = validated(Bulk, body).commands
    keys = [_key(request, index, raw) for index, raw in enumerate(given)]
    wanted = preference_of(request)
    terms, deadline = terms_of(request, wanted, None), time.monotonic() + wanted.wait_s
    outcomes: dict[int, Outcome] = {}
    entries: list[Entry] = []
    for index, raw in enumerate(given):
        try:
            entries.append(_entry(index, raw, keys[index], strict=wanted.strict))
        except (Invalid, Malformed) as error:
            outcomes[index] = await _failure(request, error)
    room = asyncio.Semaphore(AT_ONCE)

    async def serve(family: Sequence[Entry]) -> None:
        async with room:
            for entry in family:
                own = replace(terms, wait_s=max(0.0, deadline - time.monotonic()))
                outcomes[entry.index] = await _outcome(request, entry, own)

    await asyncio.gather(*(serve(family) for family in await _families(request, entries)))
    return _answer([outcomes[index] for index in range(len(given))], wanted.applied)


def _key(request: Request, index: int, raw: object) -> CommandKey | None:
    """The key of one of the commands: it follows from the request's key and the place of the command."""
    header = request.headers.get("idempotency-key")
    key = command_key(caller_of(request).user, header, method="POST", path=request.url.path, body=raw)
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
    wish = Wish(name, command.task_id, command.body, command.cascade, command.scope, command.list_id)
    version = command.if_match
    if_match = None if version is None else Precondition(frozenset({version}), strict=strict)
    return Entry(index, wish, if_match, key)


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
    if any(entry.wish.list_id is not None for entry in entries):
        return [entries]
    named = {anchor for entry in entries for anchor in _anchors(entry)}
    tops = await edge_of(request).wishes.tops(named)
    families: list[tuple[set[str], list[Entry]]] = []
    for entry in entries:
        anchors = {tops.get(anchor, anchor) for anchor in _anchors(entry)}
        joined = [family for family in families if family[0] & anchors]
        families = [family for family in families if not family[0] & anchors]
        families.append(
            (
                anchors.union(*(each for each, _ in joined)),
                sorted([entry, *(each for _, members in joined for each in members)], key=lambda e: e.index),
            )
        )
    return [members for _, members in families]


def _anchors(entry: Entry) -> Iterable[str]:
    """The tasks and lists that a command names; what is created in the inbox has that in common."""
    wish = entry.wish
    named = [wish.task_id, *(wish.body.get(name) for name in ("parent_id", "before", "after", "list_id"))]
    # The body is not checked yet: what is no id names nothing, and is the outcome of its own command.
    found = [name for name in named if isinstance(name, str) and is_uuid(name)]
    return found or ["inbox"]


# --- outcomes --------------------------------------------------------------------------------------------


async def _outcome(request: Request, entry: Entry, terms: Terms) -> Outcome:
    """Carry out one of the commands; whatever goes wrong is its outcome."""
    try:
        own = replace(terms, if_match=entry.if_match, key=entry.key)
        granted = await edge_of(request).wishes.grant(entry.wish, own)
        return _success(granted, is_on_list=entry.wish.list_id is not None)
    except Exception as error:  # noqa: BLE001
        return await _failure(request, error)


def _success(granted: Granted, *, is_on_list: bool) -> Outcome:
    result = granted.done.result
    told: dict[str, Any] = {"status": granted.status}
    if result.position is not None:
        told["position"] = str(result.position)
    if granted.location is not None:
        told["location"] = granted.location
    if isinstance(result, NotYetVisible):
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
