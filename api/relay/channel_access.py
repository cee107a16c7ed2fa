"""Access to channels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from api.auth import Identity
from api.protocol.client_messages import Refused, Subscribe
from api.read_consistency import check_recent, retry_while_unavailable
from app.channels import SYSTEM_CHANNEL
from app.ids import is_uuid
from app.positions import Positions

T = TypeVar("T")


class Visibility(Protocol):
    """Queries for what a user may see. Both raise `Unavailable`."""

    async def lists_at(self, user: str) -> tuple[set[str], dict[int, int]]:
        """Return the lists that the user is a member of, and the positions of the read models then."""

    async def list_of_task_at(self, user: str, task_id: str) -> tuple[str | None, dict[int, int]]:
        """Return the list of a task that the user may see, or None; and the positions."""


async def list_behind(
    visibility: Visibility, known: Positions, message: Subscribe, identity: Identity
) -> str | None:
    """Return the list that makes a task, or its own statistics, visible to a user; None for other channels.

    Use read models that include the positions of this node. Raise `Refused`, or `Unavailable` if they are
    behind.
    """
    key = message.channel.key
    match message.channel.kind:
        case "user":
            if key != identity.user:
                raise Refused(message.id, "forbidden", "the channel is another user's")
            return None
        case "list" | "replay" | "stats" as kind if is_uuid(key):
            if key not in await _recent(lambda: visibility.lists_at(identity.user), known):
                raise Refused(message.id, "not_found", "no such list")
            return key if kind == "stats" else None
        case "task" if is_uuid(key):
            list_id = await _recent(lambda: visibility.list_of_task_at(identity.user, key), known)
            if list_id is None:
                raise Refused(message.id, "not_found", "no such task")
            return list_id
        case "system" if message.channel == SYSTEM_CHANNEL:
            if not identity.admin:
                raise Refused(message.id, "forbidden", "this channel is for administrators")
            return None
        case _:
            raise Refused(
                message.id, "malformed", "channels are user:…, list:…, task:…, stats:… and replay:…"
            )


async def _recent(ask: Callable[[], Awaitable[tuple[T, Positions]]], known: Positions) -> T:
    """Return an answer from read models that include the known positions. Raise `Unavailable`."""

    async def answer() -> T:
        found, reached = await ask()
        check_recent(reached, known)
        return found

    return await retry_while_unavailable(answer)
