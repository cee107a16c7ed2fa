"""Requests for commands, and their results."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from api.commands.entity_tags import EntityTag, Precondition, Tags
from api.commands.idempotency import CommandKey
from api.commands.in_flight import NO_LINES, Rows
from api.commands.structure_locks import Hold
from app.deciders import AnyCommand, merged
from app.errors import KeyReused, PreconditionFailed
from app.lists.commands import SetMember
from app.lists.members import names_of
from app.lists.state import TaskList
from app.log.event_json import shown_json
from app.log.fold import State
from app.log.records import Event, source_of
from app.log.updates import Update, is_gone, state_json
from app.positions import Position, Positions, latest
from app.stream_ids import StreamId
from projections.queries.sub_tasks import Lines

SOURCE = source_of("api")


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command with its stream, its user, and the conditions of carrying it out.

    `event_id` is the id of its event, if given in advance; a key has its own. `causation_id` is the event
    that causes this command. `hold` contains the locks that are already held for it, and `lines` the tasks
    that were read under them, for the first decision.
    """

    command: AnyCommand
    stream: StreamId
    user: str
    wait_s: float
    if_match: Precondition | None = None
    key: CommandKey | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    event_id: str | None = None
    causation_id: str | None = None
    if_none_match: Tags | None = None
    hold: Hold | None = None
    lines: Lines = NO_LINES

    @property
    def known_event_id(self) -> str | None:
        """The id of its event, if a key or the caller determines it."""
        return self.event_id if self.key is None else self.key.event_id


@dataclass(frozen=True, slots=True)
class Applied:
    """A command that took effect: the state after it as JSON (`null` if gone), and the position of its event.

    `position` is None if there was nothing left to do and nothing was written. `positions` includes the
    events on other tasks. `is_repeat` means that an earlier command with the same key carried it out.
    """

    body: bytes
    version: int
    position: Position | None
    is_repeat: bool = field(default=False, compare=False)
    others: Positions = field(default_factory=dict, compare=False)

    @property
    def positions(self) -> Positions:
        """The positions of all events that were written."""
        own = [] if self.position is None else [self.position]
        return latest([*own, *self.others.items()])


@dataclass(frozen=True, slots=True)
class Pending:
    """A command whose event is written; its outcome will be available under its position."""

    position: Position
    others: Positions = field(default_factory=dict, compare=False)

    @property
    def positions(self) -> Positions:
        """The positions of all events that were written."""
        return latest([self.position, *self.others.items()])


CommandResult: TypeAlias = Applied | Pending
"""The result of a command. `others` are the positions of its events on other tasks."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of deciding on a state at some time: an event, or None if there is nothing left to do.

    `after` is the state after the event, if it is accepted.
    """

    state: State | None
    event: Event | None
    time: datetime
    after: State | None = None


async def merged_command(request: CommandRequest, current: State | None, rows: Rows) -> AnyCommand:
    """Return the command rebased to the current version, if it was meant for an older one.

    Raise as `app.conflicts.merge.merged`.
    """
    if request.if_match is None:
        return request.command
    version = request.if_match.base_of(None if current is None else current.version)
    if version is None or current is None:
        return request.command
    base = await rows.state_at(request.stream, version)
    if base is None:
        raise PreconditionFailed(f"version {version} is unknown")
    return merged(request.command, base, current)


def check_none_match(request: CommandRequest, current: State | None) -> None:
    """Check that `If-None-Match` does not match the current state. Raise `PreconditionFailed`."""
    if request.if_none_match is None or current is None or is_gone(current):
        return
    if request.if_none_match.wildcard and isinstance(request.command, SetMember):
        there = isinstance(current, TaskList) and request.command.user in names_of(current)
    else:
        there = request.if_none_match.weakly(EntityTag(str(current.version))) is not None
    if there:
        raise PreconditionFailed(f"If-None-Match matches the current version, {current.version}")


def check_same(key: CommandKey, command_hash: str | None) -> None:
    """Check that a key is used with the same command as before. Raise `KeyReused`."""
    if command_hash != key.command_hash:
        raise KeyReused("this Idempotency-Key was used for another command; use a new one")


def shown(state: State) -> bytes:
    """Return a state as JSON, `null` if it is gone."""
    return b"null" if is_gone(state) else state_json(state)


def applied_by(update: Update, version: int) -> Applied:
    """Return the result in an update that accepted an event of this version."""
    return Applied(shown_json(update.value), version, update.position)
