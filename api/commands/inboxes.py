"""Inboxes: a list of each user, created when the user is first seen."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import structlog
from cachetools import TLRUCache

from api.auth import Identity, Verifier
from api.commands.handler import CommandHandler
from api.commands.idempotency import CommandKey
from api.commands.requests import CommandRequest
from app.errors import TaskError
from app.ids import derived_id, inbox_id
from app.lists.commands import CreateInbox
from app.stream_ids import list_stream

MAX_KNOWN_USERS = 50_000
RETRY_AFTER_S = 5.0
WAIT_S = 2.0

_log = structlog.get_logger()


class Inboxes:
    """Remembers, within bounds, which users have an inbox."""

    def __init__(
        self, commands: CommandHandler, lists_of: Callable[[str], Awaitable[Collection[str]]] | None = None
    ) -> None:
        """Create the registry; querying `lists_of` for a user is faster than repeating the command."""
        self._commands = commands
        self._lists_of = lists_of
        # Each user with the seconds after which to look again.
        self._known: TLRUCache[str, float] = TLRUCache(MAX_KNOWN_USERS, _until, timer=time.monotonic)

    async def ensure(self, user: str) -> None:
        """Create the user's inbox unless it exists; on a temporary failure most requests work without it."""
        if self._known.get(user) is not None:
            return
        try:
            if self._lists_of is None or inbox_id(user) not in await self._lists_of(user):
                await self._commands.handle(_create_inbox(user))
        except TaskError as error:
            _log.warning("inbox not made", user=user, reason=error.detail)
            self._known[user] = RETRY_AFTER_S
        else:
            self._known[user] = math.inf


def _until(_user: str, for_s: float, now_s: float) -> float:
    return now_s + for_s


def _create_inbox(user: str) -> CommandRequest:
    """Return the command; its event id is derived, so that racing nodes create the same event."""
    identifier = inbox_id(user)
    key = CommandKey(derived_id("inbox-created", user), identifier, "inbox")
    return CommandRequest(CreateInbox(), list_stream(identifier), user, wait_s=WAIT_S, key=key)


@dataclass(frozen=True, slots=True)
class InboxEnsuringVerifier:
    """A verifier for sockets that also ensures the user's inbox, as HTTP requests do."""

    verifier: Verifier
    inboxes: Inboxes

    async def verify(self, token: str) -> Identity:
        """See `Verifier.verify`."""
        identity = await self.verifier.verify(token)
        if not identity.auditor:
            await self.inboxes.ensure(identity.user)
        return identity
