"""The events that Socket.IO clients send: each is read, passed to its client, and answered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from api.protocol.client_messages import BadFrame, Incoming, Refused, Subscribe, Unsubscribe
from api.protocol.decoding import read_frame
from api.transports.socket_io.client import Answer, SocketIoClient
from app.channels import task_channel
from app.ids import is_uuid

_NO_TASK = "name a task by its id"
_NO_LIST = "name a list by its id"

Request = Callable[[SocketIoClient, object], Awaitable[Answer]]
"""The request of an event with one argument."""


def members_of(data: object, *names: str) -> Mapping[str, object]:
    """Return the named members of an argument, None for missing ones."""
    given = data if isinstance(data, dict) else {}
    return {name: given.get(name) for name in names}


async def _authenticate(client: SocketIoClient, data: object) -> Answer:
    given = members_of(data, "token", "userId")
    return await client.authenticate(given["token"], given["userId"])


# --- tasks -----------------------------------------------------------------------------------------------


async def _subscribe_task(client: SocketIoClient, data: object) -> Answer:
    return await _of_task(
        client, data, lambda task_id: Subscribe(type="subscribe", channel=task_channel(task_id))
    )


async def _unsubscribe_task(client: SocketIoClient, data: object) -> Answer:
    return await _of_task(
        client, data, lambda task_id: Unsubscribe(type="unsubscribe", channel=task_channel(task_id))
    )


async def _of_task(client: SocketIoClient, data: object, message: Callable[[str], Incoming]) -> Answer:
    """Send a message about a task, whose id is given directly or in an object."""
    task_id = data if isinstance(data, str) else members_of(data, "taskId")["taskId"]
    if not isinstance(task_id, str) or not is_uuid(task_id):
        return client.refuse("malformed", _NO_TASK)
    return {**await client.request(message(task_id)), "taskId": task_id}


# --- replays ---------------------------------------------------------------------------------------------


def _of_replay(message_type: str) -> Request:
    """Return the request of an event about a replay.

    Its argument is the message of this type of a WebSocket, with `listId` in place of the channel.
    """

    async def request(client: SocketIoClient, data: object) -> Answer:
        given = data if isinstance(data, dict) else {"listId": data}
        list_id = given.get("listId")
        if not isinstance(list_id, str) or not is_uuid(list_id):
            return client.refuse("malformed", _NO_LIST)
        fields = given | {"id": None, "type": message_type, "channel": f"replay:{list_id}"}
        try:
            # As the frame of a WebSocket, which has the same limits.
            [message] = read_frame(json.dumps(fields), batch=False)
        except BadFrame as error:
            return client.refuse("malformed", str(error))
        if isinstance(message, Refused):
            return client.refuse(message.code, message.detail)
        return {**await client.request(message), "listId": list_id}

    return request


REQUESTS: Mapping[str, Request] = {
    "authenticate": _authenticate,
    "subscribe:task": _subscribe_task,
    "unsubscribe:task": _unsubscribe_task,
    "subscribe:replay": _of_replay("subscribe"),
    "control:replay": _of_replay("control"),
    "unsubscribe:replay": _of_replay("unsubscribe"),
}
"""By the names of the events."""
