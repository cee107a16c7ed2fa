"""Membership of lists, and of tasks in lists, according to updates."""

from __future__ import annotations

from dataclasses import dataclass

from app.log.event_json import read_update
from app.log.updates import Update


@dataclass(frozen=True, slots=True)
class Membership:
    """The members of a list after one of its events, and before it."""

    list_id: str
    members: frozenset[str]
    before: frozenset[str] = frozenset()


def membership_after(update: Update) -> Membership | None:
    """Return the list's members after this update, or None if it does not change them."""
    kind, _, list_id = update.stream.partition(":")
    if kind != "list" or update.outcome != "accepted":
        return None
    message = read_update(update.value)
    task_list, changes = message["list"], message["changes"]
    if task_list is None:
        return Membership(list_id, frozenset())
    members = frozenset(task_list["members"])
    if "deleted_at" in changes:
        return Membership(list_id, members)  # It was restored: before, it had no members.
    if "members" not in changes:
        return None
    return Membership(list_id, members, frozenset(changes["members"][0] or ()))


def moved_to(update: Update) -> str | None:
    """Return the list that a task moved to with this update, if it moved."""
    if not update.stream.startswith("task:"):
        return None
    lists = lists_of(update)
    return lists[0] if len(lists) > 1 else None


def lists_of(update: Update) -> list[str]:
    """Return the lists of an update: the current one of the task or list, and the one it left."""
    return [channel.removeprefix("list:") for channel in update.channels if channel.startswith("list:")]


def joined_list(update: Update, user: str) -> str | None:
    """Return the list that `user` becomes a member of with this update, if any."""
    membership = membership_after(update)
    if membership is None or user not in membership.members or user in membership.before:
        return None
    return membership.list_id
