"""Examples of all messages in their wire format, for the AsyncAPI document and as seeds of tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from api.protocol import client_messages as client
from api.protocol import server_messages as server
from api.protocol.update_messages import Replay, Update
from app.channels import Channel, list_channel, statistics_channel, task_channel
from app.statistics.report import Day
from app.tasks.fields import FIELDS

LIST_ID = "0199f3a1-5b1e-7c60-8a55-0d6f3b1c2a01"
LIST = list_channel(LIST_ID)
TASK_ID = "0199f3a1-7d22-7b10-9c3e-51a2c4d6e802"
TASK = task_channel(TASK_ID)
REPLAY = Channel(f"replay:{LIST_ID}")
_ALICE = {"user": "alice", "connections": 2, "viewing": True, "typing": False}
_BOB = {"user": "bob", "connections": 1, "viewing": True, "typing": True}

FROM_CLIENT: Mapping[type[BaseModel], tuple[dict[str, Any], ...]] = MappingProxyType(
    {
        client.Authenticate: (
            {"id": 1, "type": "authenticate", "token": "eyJhbGciOi…", "features": ["batch"]},
            {"id": 1, "type": "authenticate", "token": "eyJhbGciOi…", "since": {"0": 118, "1": 80}},
        ),
        client.Subscribe: (
            {"id": 2, "type": "subscribe", "channel": TASK, "since": {"0": 118, "1": 80}},
            {
                "id": 6,
                "type": "subscribe",
                "channel": REPLAY,
                "replay": {"from": "2026-11-01T00:00:00Z", "speed": 1000, "types": ["task.completed"]},
            },
        ),
        client.Control: (
            {"id": 7, "type": "control", "channel": REPLAY, "action": "pause"},
            {"id": 8, "type": "control", "channel": REPLAY, "action": "seek", "at": "2026-11-02T00:00:00Z"},
            {"id": 9, "type": "control", "channel": REPLAY, "action": "speed", "speed": 100},
        ),
        client.Unsubscribe: ({"id": 3, "type": "unsubscribe", "channel": TASK},),
        client.Refresh: ({"id": "again", "type": "refresh", "token": "eyJhbGciOi…"},),
        client.Signal: (
            {"type": "signal", "channel": TASK, "kind": "typing"},
            {"type": "signal", "channel": TASK, "kind": "cursor", "data": {"field": "notes", "at": 12}},
        ),
        client.Ping: ({"id": 5, "type": "ping"}, {"type": "ping"}),
        client.Pong: ({"type": "pong"},),
    }
)

_TASK_NOW = {
    "id": TASK_ID,
    **{name: field.default for name, field in FIELDS.items() if not field.required},
    "list_id": LIST_ID,
    "title": "Book a room",
    "priority": "high",
    "due": "2026-12-01",
    "tags": ["office"],
    "assignees": ["bob"],
    "reminders": [{"before": "PT1H"}],
    "status": "open",
    "series": None,
    "reminded": [],
    "comment_count": 0,
    "rank": "a0",
    "version": 2,
    "created_at": "2026-11-23T09:00:00Z",
    "created_by": "alice",
    "updated_at": "2026-11-23T09:05:00Z",
    "completed_at": None,
    "deleted_at": None,
}
_EVENT = {
    "id": "0199f3a1-9e40-7d31-b7a9-6c1f0e2d4b03",
    "type": "task.edited",
    "stream": TASK,
    "version": 2,
    "position": "0:121",
    "outcome": "accepted",
    "reason": None,
    "time": "2026-11-23T09:05:00Z",
    "recorded_at": "2026-11-23T09:05:00.012Z",
    "actor": "alice",
    "source": "/tasktape/api",
    "correlation_id": None,
    "causation_id": None,
    "data": {"assignees": ["bob"]},
}
_HELLO = {
    "id": 1,
    "type": "authenticated",
    "user": "alice",
    "session": "5f0c7f1b6d3e4a52a0c1b2d3e4f50607",
    "expires_in": 3600,
    "ping_s": 25,
    "channels": ["user:alice", LIST],
    "positions": {"0": 120, "1": 88},
    "missed": 0,
    "limits": server.Limits().model_dump(),
}
_STATS = {
    "connections": 812,
    "sockets": {"websocket": 800, "sse": 12},
    "subscriptions": 2940,
    "published": 10_332,
    "delivered": 91_554,
    "deliveries_per_s": 310.5,
    "lag_ms": 11.5,
    "appended_per_s": 42.0,
    "lag": {"0": 0, "1": 3},
    "parked": 0,
    "batches": {"0": 17},
}
_TIMES = {"count": 4, "p50": 86_400.0, "p85": 172_800.0, "p95": 190_000.0}
_DAY = Day(created=2, completed=1, throughput=1, open=1, done=4, scope=5, date=date(2026, 11, 23))
_STATISTICS = {
    "list_id": LIST_ID,
    "time_zone": "Europe/Madrid",
    "at": "2026-11-23T09:05:00Z",
    "as_recorded_at": None,
    "days": [{**asdict(_DAY), "date": "2026-11-23"}],
    "lead_time": _TIMES,
    "cycle_time": _TIMES,
    "age": {"count": 1, "p50": 300.0, "p85": 300.0, "p95": 300.0},
    "open_tasks": [],
    "cumulative_flow": [{"stage": "Doing", "category": "active", "tasks": [1]}],
    "forecast": {
        "tasks": 1,
        "seed": 1,
        "trials": 1000,
        "sampled_days": 1,
        "per_day": 1.0,
        "p50": "2026-11-24",
        "p85": "2026-11-24",
        "p95": "2026-11-24",
    },
    "group_by": None,
    "groups": [],
    "groups_left_out": 0,
    "positions": {"0": 121},
}

FROM_SERVER: Mapping[type[BaseModel], tuple[dict[str, Any], ...]] = MappingProxyType(
    {
        server.Authenticated: (_HELLO,),
        server.Subscribed: (
            {"id": 2, "type": "subscribed", "channel": TASK, "positions": {"0": 120, "1": 88}, "missed": 3},
        ),
        server.Unsubscribed: (
            {"id": 3, "type": "unsubscribed", "channel": TASK},
            {"type": "unsubscribed", "channel": LIST},
        ),
        server.Refreshed: ({"id": "again", "type": "refreshed", "expires_in": 3600},),
        server.Error: ({"id": 2, "type": "error", "code": "not_found", "message": "no such task"},),
        Update: (
            {
                "type": "update",
                "channel": LIST,
                "position": "0:121",
                "event": _EVENT,
                "changes": {"assignees": [[], ["bob"]]},
                "notifications": {"bob": "assigned"},
                "task": _TASK_NOW,
                "list": None,
            },
        ),
        Replay: (
            {
                "type": "replay",
                "channel": REPLAY,
                "state": "snapshot",
                "at": "2026-11-23T09:05:00.000000Z",
                "part": 0,
                "more": False,
                "tasks": [_TASK_NOW],
            },
            {
                "id": 7,
                "type": "replay",
                "channel": REPLAY,
                "state": "paused",
                "at": "2026-11-23T09:05:00.000000Z",
                "speed": 1000.0,
            },
        ),
        server.SignalSent: (
            {
                "type": "signal",
                "channel": TASK,
                "kind": "cursor",
                "data": {"field": "notes", "at": 12},
                "user": "bob",
                "session": "c0a8e5d4b3f24f6f9d2e1a0b9c8d7e6f",
            },
        ),
        server.Presence: (
            {"type": "presence", "channel": TASK, "present": [_ALICE, _BOB]},
            {"type": "presence", "channel": TASK, "left": [_BOB]},
        ),
        server.StatisticsReport: (
            {
                "type": "stats",
                "channel": statistics_channel(LIST_ID),
                "at": "2026-11-23T09:05:00Z",
                "stats": _STATISTICS,
            },
        ),
        server.SystemReport: ({"type": "system", "channel": "system", "node": "api-1", "stats": _STATS},),
        server.Resync: ({"type": "resync", "channel": LIST, "reason": "too much was missed"},),
        server.Goodbye: (
            {"type": "goodbye", "code": 4001, "reason": "restarting", "retry_after_ms": [0, 8000]},
        ),
        client.Ping: ({"type": "ping"},),
        client.Pong: ({"id": 5, "type": "pong"},),
    }
)
