"""Access to the audit: who may see which events, and the port that records who read those of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from app.positions import Position

Means = Literal["query", "count", "stream", "export", "sql"]
"""The means by which somebody read the audit."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who asks the audit.

    Administrators and auditors see every event. Others see those of the lists that they are members of now,
    the histories of tasks and lists that they may see now, and their own stream.
    """

    user: str
    sees_all: bool = False


class AccessRecorder(Protocol):
    """Records on the log that somebody read events of others, before the answer."""

    async def record(self, reader: str, means: Means, question: str) -> Position:
        """Write the event, unless the same question of this reader was recorded in this hour already.

        Return the position of the event. Raise `Unavailable`: the caller must not answer then.
        """
