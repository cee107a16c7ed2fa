"""Notifications: who is told of an event, and why. One of each event at most for each user."""

from __future__ import annotations

from typing import Literal

from app.lists.events import MemberAdded
from app.log.records import Record
from app.tasks.events import TaskCommented, TaskCommentEdited, TaskCreated, TaskEdited, TaskReminded

Kind = Literal["assigned", "mentioned", "reminded", "shared", "commented"]


def notified(record: Record) -> dict[str, Kind]:
    """Whom an accepted record is told to, and as what."""
    match record.data:
        case TaskCreated(notify=users) | TaskEdited(notify=users):
            return dict.fromkeys(users, "assigned")
        case TaskCommented(mentions=mentions, notify=users):
            return {**dict.fromkeys(users, "commented"), **dict.fromkeys(mentions, "mentioned")}
        case TaskCommentEdited(mentions=mentions):
            return dict.fromkeys(mentions, "mentioned")
        case TaskReminded(notify=users):
            return dict.fromkeys(users, "reminded")
        case MemberAdded(user=user):
            return {user: "shared"} if user != record.actor else {}
        case _:
            return {}
