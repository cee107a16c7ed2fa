"""Membership of lists, and of tasks in lists, according to updates."""

from __future__ import annotations

from dataclasses import dataclass

from app.log.event_json import read_update
from app.log.updates import Update


@dataclass(frozen=True, slots=True)
class Membership:
    """The members of a list after one of its events, and before it."""

    list_id: str
    users: frozenset[str]
    before: frozenset[str] = frozenset()


def membership_after(update: Update) -> Membership | None:
    """Return the list's members after this update, or None if it does not change them."""
    if update.stream.kind != "list" or update.outcome != "accepted":
        return None
    list_id = update.stream.key
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
    # The update of a move has three channels at least: the task, its list, and the list that it left.
    if len(update.channels) < 3 or update.stream.kind != "task":
        return None
    lists = lists_of(update)
    return lists[0] if len(lists) > 1 else None


def lists_of(update: Update) -> list[str]:
    """Return the lists of an update: the current one of the task or list, and the one it left."""
    return [channel.key for channel in update.channels if channel.kind == "list"]


def joined_list(update: Update, user: str) -> str | None:
    """Return the list that `user` becomes a member of with this update, if any."""
    membership = membership_after(update)
    if membership is None or user not in membership.users or user in membership.before:
        return None
    return membership.list_id
