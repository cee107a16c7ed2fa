"""Inboxes: a list of each user, created when the user is first seen."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection

import structlog

from api.commands.handler import CommandHandler
from api.commands.idempotency import CommandKey
from api.commands.requests import CommandRequest
from app.errors import TaskError
from app.ids import derived_id, inbox_id
from app.lists.commands import CreateInbox

MAX_KNOWN_USERS = 50_000
RETRY_AFTER_S = 5.0
WAIT_S = 2.0

_log = structlog.get_logger()


class Inboxes:
    """Remembers, within bounds, which users have an inbox."""

    def __init__(
        self, commands: CommandHandler, lists_of: Callable[[str], Awaitable[Collection[str]]] | None = None
    ) -> None:
        """`lists_of` returns the lists of a user, which is faster than repeating the command."""
        self._commands = commands
        self._lists_of = lists_of
        self._known: OrderedDict[str, float] = OrderedDict()

    async def ensure(self, user: str) -> None:
        """Create the user's inbox unless it exists; on a temporary failure most requests work without it."""
        if self._known.get(user, 0.0) > time.monotonic():
            self._known.move_to_end(user)
            return
        try:
            if self._lists_of is None or inbox_id(user) not in await self._lists_of(user):
                await self._commands.handle(_create_inbox(user))
        except TaskError as error:
            _log.warning("inbox not made", user=user, reason=error.detail)
            self._remember(user, RETRY_AFTER_S)
        else:
            self._remember(user, float("inf"))

    def _remember(self, user: str, for_s: float) -> None:
        self._known[user] = time.monotonic() + for_s
        if len(self._known) > MAX_KNOWN_USERS:
            self._known.popitem(last=False)


def _create_inbox(user: str) -> CommandRequest:
    """Return the command; its event id is derived, so that racing nodes create the same event."""
    identifier = inbox_id(user)
    key = CommandKey(derived_id("inbox-created", user), identifier, "inbox")
    return CommandRequest(CreateInbox(), f"list:{identifier}", user, wait_s=WAIT_S, key=key)
