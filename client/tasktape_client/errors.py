"""The errors that calls raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREACHABLE = "unreachable"
MAX_MESSAGE_CHARS = 500


class TasktapeError(Exception):
    """A refusal by the server, or a failure to reach it. The message is one line.

    `code` is the stable code of the problem. `status` is None if there was no response. `errors` lists the
    problems by `field`, and, within a text, by the character `at` which they begin. After a conflict, `base`,
    `theirs` and `yours` map the conflicting fields to values. `retry_after_s` is the server's `Retry-After`.
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
    """The command is written, but its outcome is not known yet: call `Client.outcome(position)`."""

    def __init__(self, position: str) -> None:
        super().__init__(
            f"written at {position}, and not visible yet (is a worker running?)", code="pending", status=202
        )
        self.position = position
