"""Channels: who may have which."""

from __future__ import annotations

from typing import Protocol

from api.auth import Identity
from api.protocol import SYSTEM_CHANNEL, Refused, Subscribe
from app.ids import is_uuid


class Visibility(Protocol):
    """Tells what a user may see. Both raise `Unavailable`."""

    async def lists_at(self, user: str) -> tuple[set[str], dict[int, int]]:
        """The same, and partition → the offset that is folded next, at that moment."""

    async def lists_of(self, user: str) -> set[str]:
        """The lists that the user is a member of."""

    async def list_of_task(self, user: str, task_id: str) -> str | None:
        """The list of a task that the user may see, or None."""


async def list_behind(visibility: Visibility, message: Subscribe, who: Identity) -> str | None:
    """The list that makes a task visible to a user; None for other channels. Raises `Refused`."""
    kind, _, key = message.channel.partition(":")
    match kind:
        case "user":
            if key != who.user:
                raise Refused(message.id, "forbidden", "the channel is another user's")
            return None
        case "list" if is_uuid(key):
            if key not in await visibility.lists_of(who.user):
                raise Refused(message.id, "not_found", "no such list")
            return None
        case "task" if is_uuid(key):
            list_id = await visibility.list_of_task(who.user, key)
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
