"""The table of endpoints: what the router serves and what the OpenAPI document describes."""

from __future__ import annotations

from typing import Any

from api import activity, dead_letters, finding, imports, lists, members, notifications, system, tasks
from api.bodies import PATCH
from api.imports import ImportOut, ImportRequest
from api.notifications import ReadAll
from api.routing import Endpoint, Handler
from api.schemas import (
    ActivityOut,
    ActivityQuery,
    DeadLetterPageOut,
    EventPageOut,
    Health,
    HistoryQuery,
    LettersWritten,
    ListPageOut,
    Me,
    MemberRole,
    MembersOut,
    NewTask,
    Nothing,
    NotificationPageOut,
    NotificationQuery,
    OutcomeOut,
    PageQuery,
    Query,
    Readiness,
    TaskPageOut,
    TaskPageQuery,
    TaskQuery,
    Unread,
)
from app.lists import CreateList, EditList, HandOverList, TaskList
from app.task_commands import CompleteTask, EditTask, MoveTask, ReopenTask, RestoreTask
from app.tasks import Task
from projections.notification_queries import Notification

_TASK = "/api/tasks/{id}"
_LIST = "/api/lists/{id}"
_STAGES = [
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
]
_NOTIFICATION = "/api/notifications/{id}"
_LETTER = "/api/dead-letters/{position}"


def _command(method: str, path: str, handler: Handler, summary: str, **rest: Any) -> Endpoint:
    tag = path.split("/")[2]
    return Endpoint(method, path, handler, summary, tag, command=True, **rest)


ENDPOINTS: tuple[Endpoint, ...] = (
    _command("POST", "/api/tasks", tasks.create_task, "Create a task", body=NewTask, answers={201: Task}),
    Endpoint(
        "GET",
        "/api/tasks",
        finding.list_tasks,
        "Tasks by filter and order",
        "tasks",
        query=TaskPageQuery,
        answers={200: TaskPageOut},
    ),
    Endpoint(
        "GET", _TASK, tasks.get_task, "A task, now or then", "tasks", query=TaskQuery, answers={200: Task}
    ),
    _command(
        "PATCH",
        _TASK,
        tasks.edit_task,
        "Edit a task (JSON merge patch)",
        body=EditTask,
        body_types=PATCH,
        answers={200: Task},
    ),
    _command("DELETE", _TASK, tasks.delete_task, "Delete a task; it can be restored", answers={204: None}),
    Endpoint(
        "GET",
        f"{_TASK}/history",
        tasks.task_history,
        "A task's events, also of a deleted one",
        "tasks",
        query=HistoryQuery,
        answers={200: EventPageOut},
    ),
    _command(
        "POST",
        f"{_TASK}/complete",
        tasks.complete_task,
        "Say that the work is done",
        body=CompleteTask,
        body_optional=True,
        answers={200: Task},
    ),
    _command(
        "POST",
        f"{_TASK}/reopen",
        tasks.reopen_task,
        "Say that work goes on",
        body=ReopenTask,
        body_optional=True,
        answers={200: Task},
    ),
    _command(
        "POST",
        f"{_TASK}/restore",
        tasks.restore_task,
        "Bring a deleted task back",
        body=RestoreTask,
        body_optional=True,
        answers={200: Task},
    ),
    _command(
        "POST",
        f"{_TASK}/move",
        tasks.move_task,
        "Move a task to another list",
        body=MoveTask,
        answers={200: Task},
    ),
    _command(
        "POST",
        "/api/lists",
        lists.create_list,
        "Create a list",
        body=CreateList,
        example={"name": "Groceries", "stages": _STAGES},
        query=Query,
        answers={201: TaskList},
    ),
    Endpoint(
        "GET",
        "/api/lists",
        lists.list_lists,
        "Your lists",
        "lists",
        query=PageQuery,
        answers={200: ListPageOut},
    ),
    Endpoint("GET", _LIST, lists.get_list, "A list", "lists", query=Query, answers={200: TaskList}),
    _command(
        "PATCH",
        _LIST,
        lists.edit_list,
        "Edit a list (JSON merge patch): its name, its stages as a whole",
        body=EditList,
        body_types=PATCH,
        example={"name": "Errands", "stages": _STAGES},
        query=Query,
        answers={200: TaskList},
    ),
    _command(
        "DELETE", _LIST, lists.delete_list, "Delete a list and its tasks", query=Query, answers={204: None}
    ),
    Endpoint(
        "GET",
        f"{_LIST}/members",
        members.list_members,
        "Who sees a list, and in which role",
        "lists",
        query=Query,
        answers={200: MembersOut},
    ),
    _command(
        "PUT",
        f"{_LIST}/members/{{user}}",
        members.set_member,
        "Let somebody see a list, or give a member another role",
        body=MemberRole,
        example={"role": "editor"},
        query=Query,
        answers={200: TaskList},
    ),
    _command(
        "DELETE",
        f"{_LIST}/members/{{user}}",
        members.remove_member,
        "Take a list away from a member; from oneself: leave it",
        query=Query,
        answers={204: None},
    ),
    _command(
        "POST",
        f"{_LIST}/leave",
        members.leave_list,
        "Leave a list",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={204: None},
    ),
    _command(
        "POST",
        f"{_LIST}/hand-over",
        members.hand_over_list,
        "Make another member the owner, and oneself an editor",
        body=HandOverList,
        example={"to": "bob"},
        query=Query,
        answers={200: TaskList},
    ),
    Endpoint(
        "GET",
        f"{_LIST}/history",
        lists.list_history,
        "A list's events",
        "lists",
        query=HistoryQuery,
        answers={200: EventPageOut},
    ),
    Endpoint(
        "POST",
        "/api/import",
        imports.import_tasks,
        "Import tasks with their histories; what is there already is not written again",
        "import",
        body=ImportRequest,
        answers={200: ImportOut},
    ),
    Endpoint(
        "GET",
        "/api/activity",
        activity.activity,
        "What happened in your lists, in groups, the newest first",
        "activity",
        query=ActivityQuery,
        answers={200: ActivityOut},
    ),
    Endpoint(
        "GET",
        "/api/notifications",
        notifications.list_notifications,
        "What you were told, the newest first",
        "notifications",
        query=NotificationQuery,
        answers={200: NotificationPageOut},
    ),
    _command(
        "POST",
        f"{_NOTIFICATION}/read",
        notifications.read_notification,
        "Say that you have read it",
        answers={200: Notification},
    ),
    _command(
        "POST",
        f"{_NOTIFICATION}/unread",
        notifications.unread_notification,
        "Keep it for later",
        answers={200: Notification},
    ),
    _command(
        "POST",
        "/api/notifications/read-all",
        notifications.read_all_notifications,
        "Say that you have read all of them, or all up to a time",
        body=ReadAll,
        body_optional=True,
        answers={200: Unread},
    ),
    Endpoint("GET", "/api/me", system.me, "The caller", "caller", query=Query, answers={200: Me}),
    Endpoint(
        "GET",
        "/api/outcomes/{position}",
        system.outcome,
        "What became of a written event; 202 while that is not known",
        "caller",
        query=Query,
        answers={200: OutcomeOut, 202: OutcomeOut},
    ),
    Endpoint(
        "GET",
        "/api/dead-letters",
        dead_letters.dead_letters,
        "Parked records",
        "operation",
        query=PageQuery,
        admin=True,
        answers={200: DeadLetterPageOut},
    ),
    Endpoint(
        "POST",
        f"{_LETTER}/retry",
        dead_letters.retry,
        "Try a parked record again, and those behind it",
        "operation",
        admin=True,
        answers={202: LettersWritten},
    ),
    Endpoint(
        "POST",
        f"{_LETTER}/skip",
        dead_letters.skip,
        "Pass over a parked record, and try those behind it",
        "operation",
        admin=True,
        answers={202: LettersWritten},
    ),
    Endpoint(
        "GET",
        "/healthz",
        system.healthz,
        "The process answers",
        "operation",
        query=Query,
        public=True,
        answers={200: Health},
    ),
    Endpoint(
        "GET",
        "/readyz",
        system.readyz,
        "Everything behind it works",
        "operation",
        query=Query,
        public=True,
        answers={200: Readiness, 503: Readiness},
    ),
)
