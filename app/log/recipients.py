"""Recipients of notifications: at most one notification for each event and user."""

from __future__ import annotations

from typing import Literal

from app.lists.events import MemberAdded
from app.log.records import Record
from app.tasks.events import TaskCommented, TaskCommentEdited, TaskCreated, TaskEdited, TaskReminded

Kind = Literal["assigned", "mentioned", "reminded", "shared", "commented"]


def notified(record: Record) -> dict[str, Kind]:
    """Return the users whom an accepted record notifies, each with the kind of the notification."""
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
