"""The one error that a caller of the API meets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREACHABLE = "unreachable"
MAX_MESSAGE_CHARS = 500


class TasktapeError(Exception):
    """The server refused, or can't be reached. The message is one line.

    `code` is the problem's, and stable; `status` is None if there was no answer. `errors` says what is wrong
    with which `field` and, in a text, `at` which character. After a conflict, `base`, `theirs` and `yours`
    map the fields in question to values. `retry_after_s` is how long the server asked to be left alone.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = UNREACHABLE,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(" ".join(message.split())[:MAX_MESSAGE_CHARS])
        found = problem or {}
        self.code = code
        self.status = status
        self.errors: tuple[dict[str, Any], ...] = tuple(found.get("errors") or ())
        self.base: dict[str, Any] = found.get("base") or {}
        self.theirs: dict[str, Any] = found.get("theirs") or {}
        self.yours: dict[str, Any] = found.get("yours") or {}
        self.correlation_id: str | None = found.get("correlation_id")
        self.retry_after_s = retry_after_s


class Pending(TasktapeError):
    """The command is written, but nobody has seen its outcome yet: `Client.outcome(position)` tells it."""

    def __init__(self, position: str) -> None:
        super().__init__(
            f"written at {position}, and not visible yet (is a worker running?)", code="pending", status=202
        )
        self.position = position
