"""A client of Tasktape's API: typed calls, and live updates.

>>> async with Client("http://127.0.0.1:8000", token) as client:  # doctest: +SKIP
...     task = await client.create_task("Book a room", due="2026-12-01")
...     async for update in client.updates():
...         print(update)
"""

from tasktape_client.client import Client
from tasktape_client.connection_events import Connected, Disconnected
from tasktape_client.errors import Pending, TasktapeError
from tasktape_client.models import (
    ActivityGroup,
    BulkOutcome,
    Comment,
    Event,
    Me,
    Notification,
    Outcome,
    ReplayState,
    Resync,
    Task,
    TaskList,
    Unsubscribed,
    Update,
)
from tasktape_client.patience import Patience

__all__ = [
    "ActivityGroup",
    "BulkOutcome",
    "Client",
    "Comment",
    "Connected",
    "Disconnected",
    "Event",
    "Me",
    "Notification",
    "Outcome",
    "Patience",
    "Pending",
    "ReplayState",
    "Resync",
    "Task",
    "TaskList",
    "TasktapeError",
    "Unsubscribed",
    "Update",
]
