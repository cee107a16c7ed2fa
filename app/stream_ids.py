"""The ids of streams: `task:<id>`, `list:<id>` and `user:<name>`."""

from __future__ import annotations

import re

MAX_KEY_CHARS = 256
KINDS = ("task", "list", "user")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class StreamId(str):
    """The id of a stream.

    It is a string, because the log, the tables and the messages contain it as such.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> StreamId | None:
        """Return the id of a stream from the log or from a client, or None if it is not one."""
        kind, _, key = text.partition(":")
        is_id = kind in KINDS and 0 < len(key) <= MAX_KEY_CHARS and _CONTROL.search(key) is None
        return cls(text) if is_id else None

    @property
    def kind(self) -> str:
        """The kind of the stream: `task`, `list` or `user`; empty if there is no stream."""
        return self.partition(":")[0]

    @property
    def key(self) -> str:
        """The id of the task or list, or the name of the user."""
        return self.partition(":")[2]


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
