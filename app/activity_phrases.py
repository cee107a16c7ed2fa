"""What the activity feed says of a group of events, in a line: `alice completed 5 tasks`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    "list.created": ("{actor} created the list “{name}”", "{actor} created {n} lists"),
    "list.renamed": ("{actor} renamed the list to “{name}”", "{actor} renamed the list {n} times"),
    "list.edited": ("{actor} changed the list's stages", "{actor} changed the list's stages {n} times"),
    "list.deleted": ("{actor} deleted the list", "{actor} deleted {n} lists"),
    "list.restored": ("{actor} restored the list", "{actor} restored the list {n} times"),
    "list.member_added": ("{actor} added {user} as {role}", "{actor} added {n} people"),
    "list.member_role_changed": ("{actor} made {user} {role}", "{actor} changed {n} roles"),
    "list.member_removed": ("{actor} removed {user}", "{actor} removed {n} people"),
    "list.left": ("{actor} left the list", "{actor} left the list {n} times"),
    "list.handed_over": ("{actor} handed the list over to {to}", "{actor} handed the list over {n} times"),
}
"""Type of activity → how one is told, and how `{n}` are. Other names are of the newest event's data."""


def summary(type_: str, actor: str, *, n: int, title: str, data: Mapping[str, Any]) -> str:
    """The line for `n` tasks, or `n` events of a list; `title` and `data` are those of the newest event."""
    one, many = PHRASES[type_]
    return (one if n == 1 else many).format_map({**data, "actor": actor, "title": title, "n": f"{n:,}"})
