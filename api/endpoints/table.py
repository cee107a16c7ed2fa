"""The table of endpoints: what the router serves and what the OpenAPI document describes."""

from __future__ import annotations

from typing import Any

from api.commands.side_effects import CommandedTask
from api.commands.task_actions import NewComment, NewTask, Nothing
from api.endpoints import (
    activity,
    bulk,
    comments,
    dead_letters,
    imports,
    lists,
    me,
    notifications,
    task_ids,
    tasks,
)
from api.endpoints import health as system
from api.endpoints import lists as members
from api.endpoints import presence as presence_endpoints
from api.endpoints import stream as sse
from api.endpoints import task_search as finding
from api.endpoints.activity import ActivityOut, ActivityQuery
from api.endpoints.bulk import Bulk, BulkOut
from api.endpoints.comments import CommentPageOut
from api.endpoints.dead_letters import DeadLetterPageOut, LettersWritten
from api.endpoints.health import Health
from api.endpoints.history import EventPageOut, HistoryQuery
from api.endpoints.imports import ImportOut, ImportRequest
from api.endpoints.lists import ListPageOut, ListPageQuery, MemberRole, MembersOut
from api.endpoints.me import Me, OutcomeOut
from api.endpoints.notifications import NotificationPageOut, NotificationQuery, ReadAll, Unread
from api.endpoints.presence import ConnectionsOut, ConnectionsQuery, PresenceOut, PresenceQuery
from api.endpoints.quick_add import CreatedTask, CreateQuery, QuickQuery, preview_quick
from api.endpoints.readiness import Readiness, ReadinessQuery
from api.endpoints.stream import StreamQuery
from api.endpoints.task_ids import IdPartQuery
from api.endpoints.task_search import TaskPageOut, TaskPageQuery
from api.endpoints.tasks import CascadeQuery, EditQuery, TaskQuery
from api.http.bodies import PATCH
from api.http.query import PageQuery, Query
from api.http.routing import Endpoint, Handler
from app.lists.commands import CreateList, EditList, HandOverList
from app.lists.state import TaskList
from app.quick_add.parser import QuickTask
from app.tasks.commands import ChangeToUndo, NewPlace, TaskPatch
from app.tasks.state import Task
from projections.queries.task_ids import TaskNames
from projections.read_models.comments import Comment
from projections.read_models.notifications import Notification

_TASK = "/api/tasks/{id}"
_COMMENT = f"{_TASK}/comments/{{comment_id}}"
_LIST = "/api/lists/{id}"
_STAGES = [
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
]
_NOTIFICATION = "/api/notifications/{id}"
_ID = "0190f3c0-0000-7000-8000-000000000000"
_LETTER = "/api/dead-letters/{position}"


def _command(method: str, path: str, handler: Handler, summary: str, **rest: Any) -> Endpoint:
    tag = path.split("/")[2]
    return Endpoint(method, path, handler, summary, tag, command=True, **rest)


ENDPOINTS: tuple[Endpoint, ...] = (
    _command(
        "POST",
        "/api/tasks",
        tasks.create_task,
        "Create a task; a sub-task goes to its parent's list",
        body=NewTask,
        example={"title": "Buy milk", "due": "2026-12-01", "tags": ["shop"], "assignees": ["bob"]},
        query=CreateQuery,
        versioned=False,
        answers={201: CreatedTask},
    ),
    Endpoint(
        "GET",
        "/api/quick-add",
        preview_quick,
        "Read a quick text as a task, and create nothing",
        "tasks",
        query=QuickQuery,
        answers={200: QuickTask},
    ),
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
        "GET",
        "/api/task-ids",
        task_ids.task_ids,
        "Tasks by the beginning or the end of their ids",
        "tasks",
        query=IdPartQuery,
        answers={200: TaskNames},
    ),
    Endpoint(
        "GET", _TASK, tasks.get_task, "A task, now or then", "tasks", query=TaskQuery, answers={200: Task}
    ),
    _command(
        "PATCH",
        _TASK,
        tasks.edit_task,
        "Edit a task (JSON merge patch)",
        body=TaskPatch,
        body_types=PATCH,
        example={"title": "Buy oat milk", "due": None},
        query=EditQuery,
        answers={200: CommandedTask},
    ),
    _command(
        "DELETE",
        _TASK,
        tasks.delete_task,
        "Delete a task; it can be restored",
        query=CascadeQuery,
        answers={204: None},
    ),
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
        body=Nothing,
        body_optional=True,
        query=CascadeQuery,
        answers={200: CommandedTask},
    ),
    _command(
        "POST",
        f"{_TASK}/reopen",
        tasks.reopen_task,
        "Say that work goes on",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={200: CommandedTask},
    ),
    _command(
        "POST",
        f"{_TASK}/restore",
        tasks.restore_task,
        "Bring a deleted task back",
        body=Nothing,
        body_optional=True,
        query=CascadeQuery,
        answers={200: CommandedTask},
    ),
    _command(
        "POST",
        f"{_TASK}/move",
        tasks.move_task,
        "Move a task in the order of its list, or to another list or stage; sub-tasks follow",
        body=NewPlace,
        example={"after": _ID, "stage": "Doing"},
        query=CascadeQuery,
        answers={200: CommandedTask},
    ),
    _command(
        "POST",
        f"{_TASK}/skip",
        tasks.skip_occurrence,
        "Pass over this occurrence of a recurring task",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={200: CommandedTask},
    ),
    _command(
        "POST",
        f"{_TASK}/undo",
        tasks.undo_change,
        "Undo a change of one's own: the newest, or any that still holds",
        body=ChangeToUndo,
        body_optional=True,
        example={"version": 3},
        query=Query,
        answers={200: CommandedTask | None},
    ),
    _command(
        "POST",
        f"{_TASK}/comments",
        comments.add_comment,
        "Say something about a task; `@name` mentions a member of its list",
        body=NewComment,
        example={"text": "@bob, could you take this one?"},
        query=Query,
        answers={201: CommandedTask},
    ),
    Endpoint(
        "GET",
        f"{_TASK}/comments",
        comments.list_comments,
        "What was said about a task, the oldest first",
        "tasks",
        query=PageQuery,
        answers={200: CommentPageOut},
    ),
    Endpoint(
        "GET", _COMMENT, comments.get_comment, "A comment", "tasks", query=Query, answers={200: Comment}
    ),
    _command(
        "PATCH",
        _COMMENT,
        comments.edit_comment,
        "Say it otherwise; one's own comments only",
        body=NewComment,
        body_types=PATCH,
        example={"text": "@bob and @carol, could you take this one?"},
        query=Query,
        answers={200: CommandedTask},
    ),
    _command(
        "DELETE",
        _COMMENT,
        comments.delete_comment,
        "Take a comment back; an owner of the list may take anyone's away",
        query=Query,
        answers={204: None},
    ),
    _command(
        "POST",
        "/api/bulk",
        bulk.bulk,
        "Carry out many commands on tasks; each has an outcome of its own",
        body=Bulk,
        example={
            "commands": [
                {"command": "create", "body": {"title": "Buy milk"}},
                {"command": "edit", "task_id": _ID, "body": {"priority": "high"}, "if_match": 3},
                {"command": "complete", "task_id": _ID, "cascade": True},
            ]
        },
        query=Query,
        versioned=False,
        many=True,
        answers={200: BulkOut},
    ),
    _command(
        "POST",
        "/api/lists",
        lists.create_list,
        "Create a list",
        body=CreateList,
        example={"name": "Groceries", "stages": _STAGES},
        query=Query,
        versioned=False,
        answers={201: TaskList},
    ),
    Endpoint(
        "GET",
        "/api/lists",
        lists.list_lists,
        "Your lists, or those that were deleted and that you may restore",
        "lists",
        query=ListPageQuery,
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
        "DELETE",
        _LIST,
        lists.delete_list,
        "Delete a list and its tasks; its owners can have it back",
        query=Query,
        answers={204: None},
    ),
    _command(
        "POST",
        f"{_LIST}/restore",
        lists.restore_list,
        "Have a deleted list back, with its members, its stages and its tasks",
        body=Nothing,
        body_optional=True,
        query=Query,
        answers={200: TaskList},
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
        body=Nothing,
        body_optional=True,
        query=Query,
        versioned=False,
        answers={200: Notification},
    ),
    _command(
        "POST",
        f"{_NOTIFICATION}/unread",
        notifications.unread_notification,
        "Say that you have not read it: keep it for later",
        body=Nothing,
        body_optional=True,
        query=Query,
        versioned=False,
        answers={200: Notification},
    ),
    _command(
        "POST",
        "/api/notifications/read-all",
        notifications.read_all_notifications,
        "Say that you have read all of them, or all up to a time",
        body=ReadAll,
        body_optional=True,
        example={"until": "2026-12-01T09:00:00Z"},
        query=Query,
        versioned=False,
        answers={200: Unread},
    ),
    Endpoint(
        "GET",
        "/api/stream",
        sse.stream,
        "What happens from now on, or since one was away, as server-sent events",
        "live",
        query=StreamQuery,
        stream=True,
        answers={200: str},
    ),
    Endpoint(
        "GET",
        "/api/presence",
        presence_endpoints.presence,
        "Who is on a channel now: who has a task open, or which members of a list are connected",
        "presence",
        query=PresenceQuery,
        answers={200: PresenceOut},
    ),
    Endpoint(
        "GET",
        "/api/connections",
        presence_endpoints.connections,
        "Who is connected to any node, and how often",
        "presence",
        query=ConnectionsQuery,
        admin=True,
        answers={200: ConnectionsOut},
    ),
    Endpoint("GET", "/api/me", me.me, "The caller", "caller", query=Query, answers={200: Me}),
    Endpoint(
        "GET",
        "/api/outcomes/{position}",
        me.outcome,
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
        query=ReadinessQuery,
        public=True,
        answers={200: Readiness, 503: Readiness},
    ),
    Endpoint(
        "GET",
        "/metrics",
        system.metrics,
        "What this process has counted, for Prometheus",
        "operation",
        query=Query,
        public=True,
        answers={200: str},
    ),
)
