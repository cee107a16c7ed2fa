"""Activity: the type of each event in the feed, and the groups of events that the feed shows as one line.

Events of one actor, type and list within the same hour form a group, whatever other actors did in between:
`alice completed 5 tasks`. An hour is a UTC hour of the log's own clock. The group of an event therefore
depends on that event alone. A feed that is read at once, a feed that is read page by page, and a feed that
grows live as events arrive in any order are identical. `api/pages/activity_groups.js` implements the same
rules for the page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

from app.lists.events import ListCreated, ListEdited, MemberRemoved
from app.lists.state import TaskList
from app.log.fold import Folded
from app.log.records import Record
from app.policies import IMPORT_PREFIX, POLICY_PREFIX
from app.positions import Position
from app.stream_ids import StreamId
from app.tasks.events import TaskEdited, TaskMoved, TaskReminded
from app.tasks.state import Task

WINDOW_S = 3_600
"""The length of a group's time window, aligned to the epoch."""
BY_POLICY: Mapping[str, str] = {
    "task.created": "task.recurred",
    "task.restored": "task.recurred",
    "task.deleted": "task.withdrawn",
}
"""Event type → the type of activity, if a policy appended the event."""
_EFFECTS = {"done": "task.completed", "open": "task.reopened"}

# --- one event -------------------------------------------------------------------------------------------


def activity_type(folded: Folded) -> str | None:
    """Return the activity type of a record, or None if the feed does not show it.

    It is usually the event's type, with these exceptions. A move or an edit that completes a task is
    `task.completed`. A move from another list is `task.moved_in`, and a move to another stage is
    `task.staged`. A new time zone of a list is `list.time_zone_changed`. Members who remove themselves give
    `list.left`. The next occurrence of a task, created by a policy, is `task.recurred`; if the policy deletes
    it again, `task.withdrawn`. Of an imported history only the first event is shown, as `task.imported`.
    Creations of inboxes, moves within a list, reminders, read marks and records that are not accepted are no
    activity.
    """
    record, after = folded.record, folded.after
    if folded.outcome != "accepted" or record is None or record.version == 0:
        return None
    if isinstance(after, Task):
        return _of_task(record, folded.before if isinstance(folded.before, Task) else None, after)
    return _of_list(record) if isinstance(after, TaskList) else None


def _of_task(record: Record, before: Task | None, after: Task) -> str | None:
    if record.source.startswith(IMPORT_PREFIX):
        return "task.imported" if before is None else None
    if record.source.startswith(POLICY_PREFIX):
        return BY_POLICY.get(record.type)
    match record.data:
        case TaskReminded():
            return None
        case TaskMoved() if before is not None and before.list_id != after.list_id:
            return "task.moved_in"
        case TaskMoved() | TaskEdited() if before is not None and before.status != after.status:
            return _EFFECTS[after.status]
        case TaskMoved(stage=stage):
            return None if stage is None else "task.staged"
        case _:
            return record.type


def _of_list(record: Record) -> str | None:
    match record.data:
        case ListCreated(inbox=True):
            return None
        case ListEdited(fields=fields) if set(fields) == {"time_zone"}:
            return "list.time_zone_changed"
        case MemberRemoved(user=user) if user == record.actor:
            return "list.left"
        case _:
            return record.type


class Entry(NamedTuple):
    """An event in the feed: `at` is the log's time, `list_id` the list in whose feed it appears.

    It is flat, because one line for an import is made from thousands of them.
    """

    at: datetime
    partition: int
    offset: int
    type: str
    actor: str
    list_id: str
    stream: StreamId

    @property
    def position(self) -> Position:
        """The position of the event in the log."""
        return Position(self.partition, self.offset)


def actor_of(type_: str, actor: str, source: str) -> str:
    """Return the user who did it; for an imported event, the user who imported it."""
    return unquote(source.removeprefix(IMPORT_PREFIX)[1:]) if type_ == "task.imported" else actor


# --- groups ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """Events that form one line of the feed, newest first."""

    actor: str
    type: str
    list_id: str
    entries: Sequence[Entry]

    @property
    def task_ids(self) -> list[str]:
        """The tasks of the group, ordered by their newest event; empty for events of a list."""
        streams = dict.fromkeys(entry.stream for entry in self.entries)
        return [stream.key for stream in streams if stream.kind == "task"]


def grouped(entries: Iterable[Entry]) -> list[Group]:
    """Group entries that are ordered newest first; order the groups by their newest entry."""
    groups: dict[tuple[int, str, str, str], list[Entry]] = {}
    for entry in entries:
        key = (window_of(entry), entry.actor, entry.type, entry.list_id)
        groups.setdefault(key, []).append(entry)
    return [Group(*key[1:], together) for key, together in groups.items()]


def window_of(entry: Entry) -> int:
    """Return the number of the time window that contains an entry."""
    return int(entry.at.timestamp()) // WINDOW_S


def whole_windows(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries of complete windows, given that older entries than these exist."""
    if not entries:
        return entries
    end_of_last = datetime.fromtimestamp((window_of(entries[-1]) + 1) * WINDOW_S, UTC)
    return entries[: bisect_left(entries, True, key=lambda entry: entry.at < end_of_last)]


PHRASES: Mapping[str, tuple[str, str]] = {
    "task.created": ("{actor} created “{title}”", "{actor} created {n} tasks"),
    "task.imported": ("{actor} imported “{title}”", "{actor} imported {n} tasks"),
    "task.recurred": (
        "The next occurrence of “{title}” was created",
        "The next occurrences of {n} tasks were created",
    ),
    "task.withdrawn": (
        "The next occurrence of “{title}” was taken back",
        "The next occurrences of {n} tasks were taken back",
    ),
    "task.edited": ("{actor} edited “{title}”", "{actor} edited {n} tasks"),
    "task.completed": ("{actor} completed “{title}”", "{actor} completed {n} tasks"),
    "task.reopened": ("{actor} reopened “{title}”", "{actor} reopened {n} tasks"),
    "task.staged": ("{actor} moved “{title}” to {stage}", "{actor} moved {n} tasks to other stages"),
    "task.moved_in": (
        "{actor} moved “{title}” here from another list",
        "{actor} moved {n} tasks here from other lists",
    ),
    "task.moved_out": ("{actor} moved “{title}” to another list", "{actor} moved {n} tasks to other lists"),
    "task.deleted": ("{actor} deleted “{title}”", "{actor} deleted {n} tasks"),
    "task.restored": ("{actor} restored “{title}”", "{actor} restored {n} tasks"),
    "task.skipped": (
        "{actor} skipped an occurrence of “{title}”",
        "{actor} skipped occurrences of {n} tasks",
    ),
    "task.commented": ("{actor} commented on “{title}”", "{actor} commented on {n} tasks"),
    "task.comment_edited": (
        "{actor} edited a comment on “{title}”",
        "{actor} edited comments on {n} tasks",
    ),
    "task.comment_deleted": (
        "{actor} deleted a comment on “{title}”",
        "{actor} deleted comments on {n} tasks",
    ),
    "task.undone": ("{actor} undid a change to “{title}”", "{actor} undid changes to {n} tasks"),
    "task.reverted": (
        "{actor} returned “{title}” to an earlier state",
        "{actor} returned {n} tasks to an earlier state",
    ),
    "list.created": ("{actor} created the list “{name}”", "{actor} created {n} lists"),
    "list.renamed": ("{actor} renamed the list to “{name}”", "{actor} renamed the list {n} times"),
    "list.edited": ("{actor} changed the list's stages", "{actor} changed the list's stages {n} times"),
    "list.time_zone_changed": (
        "{actor} changed the list's time zone",
        "{actor} changed the list's time zone {n} times",
    ),
    "list.deleted": ("{actor} deleted the list", "{actor} deleted {n} lists"),
    "list.restored": ("{actor} restored the list", "{actor} restored the list {n} times"),
    "list.member_added": ("{actor} added {user} as {role}", "{actor} added {n} people"),
    "list.member_role_changed": ("{actor} made {user} {role}", "{actor} changed {n} roles"),
    "list.member_removed": ("{actor} removed {user}", "{actor} removed {n} people"),
    "list.left": ("{actor} left the list", "{actor} left the list {n} times"),
    "list.handed_over": ("{actor} handed the list over to {to}", "{actor} handed the list over {n} times"),
}
"""Type of activity → its sentence for one, and for `{n}`. Other names are of the newest event's data."""


def summary(type_: str, actor: str, *, n: int, title: str, data: Mapping[str, Any]) -> str:
    """Return the line for `n` tasks or `n` events of a list; `title` and `data` are the newest event's."""
    one, many = PHRASES[type_]
    return (one if n == 1 else many).format_map({**data, "actor": actor, "title": title, "n": f"{n:,}"})
