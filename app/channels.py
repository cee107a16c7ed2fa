"""Channels, to which clients subscribe: `user:<name>`, `list:<id>`, `task:<id>`, `stats:<id>` and others."""

from __future__ import annotations

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from app.prefixed_names import PrefixedName

MAX_CHANNEL_CHARS = 256


class Channel(PrefixedName):
    """The name of a channel; its kind is `user`, `list`, `task`, `stats` or `replay`.

    A client may name a channel that does not exist: `api.relay.channel_access` refuses it.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of a channel that a client names."""
        del source, handler
        text = core_schema.str_schema(min_length=1, max_length=MAX_CHANNEL_CHARS)
        return core_schema.no_info_after_validator_function(cls, text)


SYSTEM_CHANNEL = Channel("system")
"""The channel of administrators."""


def user_channel(user: str) -> Channel:
    """Return the channel of a user: their notifications, and changes of their lists."""
    return Channel("user:" + user)


def list_channel(list_id: str) -> Channel:
    """Return the channel of a list and of the tasks in it."""
    return Channel("list:" + list_id)


def task_channel(task_id: str) -> Channel:
    """Return the channel of one task."""
    return Channel("task:" + task_id)


def statistics_channel(list_id: str) -> Channel:
    """Return the channel of the statistics of a list."""
    return Channel("stats:" + list_id)
