"""Channels: who may have which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from api.auth import Identity
from api.protocol.messages import SYSTEM_CHANNEL, Refused, Subscribe
from api.read_consistency import check_recent, retry_while_unavailable
from app.ids import is_uuid
from app.positions import Positions

T = TypeVar("T")


class Visibility(Protocol):
    """Tells what a user may see. Both raise `Unavailable`."""

    async def lists_at(self, user: str) -> tuple[set[str], dict[int, int]]:
        """The lists that the user is a member of, and the positions of the read models then."""

    async def list_of_task_at(self, user: str, task_id: str) -> tuple[str | None, dict[int, int]]:
        """The list of a task that the user may see, or None; and the same."""


async def list_behind(
    visibility: Visibility, told: Positions, message: Subscribe, who: Identity
) -> str | None:
    """The list that makes a task visible to a user; None for other channels.

    What this node was `told` counts: raises `Refused`, or `Unavailable` if the read models don't have it.
    """
    kind, _, key = message.channel.partition(":")
    match kind:
        case "user":
            if key != who.user:
                raise Refused(message.id, "forbidden", "the channel is another user's")
            return None
        case "list" if is_uuid(key):
            if key not in await _recent(lambda: visibility.lists_at(who.user), told):
                raise Refused(message.id, "not_found", "no such list")
            return None
        case "task" if is_uuid(key):
            list_id = await _recent(lambda: visibility.list_of_task_at(who.user, key), told)
            if list_id is None:
                raise Refused(message.id, "not_found", "no such task")
            return list_id
        case "system" if message.channel == SYSTEM_CHANNEL:
            if not who.admin:
                raise Refused(message.id, "forbidden", "this channel is for administrators")
            return None
        case "stats" | "replay":
            raise Refused(message.id, "unsupported", "this kind of channel is not there yet")
        case _:
            raise Refused(message.id, "malformed", "channels are user:…, list:… and task:…")


async def _recent(ask: Callable[[], Awaitable[tuple[T, Positions]]], told: Positions) -> T:
    """An answer of read models that have all that was told. Raises `Unavailable`."""

    async def answer() -> T:
        found, reached = await ask()
        check_recent(reached, told)
        return found

    return await retry_while_unavailable(answer)
