"""Models of the responses of the API, and of live updates.

Fields that a newer server adds are kept in `model_extra`.
"""

from tasktape_client.models.base import Answered
from tasktape_client.models.events import (
    BulkOutcome,
    Event,
    Outcome,
    Problem,
    ReplayState,
    Resync,
    Unsubscribed,
    Update,
)
from tasktape_client.models.lists import (
    Adapted,
    CopiedList,
    ListRevert,
    Refused,
    RevertedTask,
    Stage,
    TaskList,
)
from tasktape_client.models.operation import (
    ConnectedUser,
    DeadLetter,
    Imported,
    LettersWritten,
    Present,
    PresentUser,
    Readiness,
)
from tasktape_client.models.people import ActivityEvent, ActivityGroup, Me, Notification, Unread
from tasktape_client.models.tasks import (
    Comment,
    Match,
    Quick,
    QuickPart,
    Reminder,
    Series,
    SideEffect,
    Task,
    TaskName,
    TaskNames,
)
from tasktape_client.models.words import Category, OutcomeName, Priority, Role, Status

__all__ = [
    "ActivityEvent",
    "ActivityGroup",
    "Adapted",
    "Answered",
    "BulkOutcome",
    "Category",
    "Comment",
    "ConnectedUser",
    "CopiedList",
    "DeadLetter",
    "Event",
    "Imported",
    "LettersWritten",
    "ListRevert",
    "Match",
    "Me",
    "Notification",
    "Outcome",
    "OutcomeName",
    "Present",
    "PresentUser",
    "Priority",
    "Problem",
    "Quick",
    "QuickPart",
    "Readiness",
    "Refused",
    "Reminder",
    "ReplayState",
    "Resync",
    "RevertedTask",
    "Role",
    "Series",
    "SideEffect",
    "Stage",
    "Status",
    "Task",
    "TaskList",
    "TaskName",
    "TaskNames",
    "Unread",
    "Unsubscribed",
    "Update",
]
