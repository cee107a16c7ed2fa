"""The ids of streams: `task:<id>`, `list:<id>` and `user:<name>`."""

from __future__ import annotations

import re

from app.prefixed_names import PrefixedName

MAX_KEY_CHARS = 256
KINDS = ("task", "list", "user")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class StreamId(PrefixedName):
    """The id of a stream; its kind is `task`, `list` or `user`, or empty if there is no stream."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> StreamId | None:
        """Return the id of a stream from the log or from a client, or None if it is not one."""
        kind, _, key = text.partition(":")
        is_id = kind in KINDS and 0 < len(key) <= MAX_KEY_CHARS and _CONTROL.search(key) is None
        return cls(text) if is_id else None


NO_STREAM = StreamId()
"""The stream of an update whose record names none."""


def task_stream(task_id: str) -> StreamId:
    """Return the id of a task's stream."""
    return StreamId("task:" + task_id)


def list_stream(list_id: str) -> StreamId:
    """Return the id of a list's stream."""
    return StreamId("list:" + list_id)


def user_stream(user: str) -> StreamId:
    """Return the id of a user's stream."""
    return StreamId("user:" + user)
