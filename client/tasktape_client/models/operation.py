"""The log, imports, readiness, and presence."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from tasktape_client.models.base import Answered


class DeadLetter(Answered):
    """A record that could not be folded, or that waits behind such a record."""

    position: str
    stream: str | None
    holds: bool
    reason: str
    attempts: int
    parked_at: datetime
    attempted_at: datetime
    age_s: float
    key: str | None = None


class LettersWritten(Answered):
    """The records that were appended to settle a parked record."""

    appended: int
    positions: dict[str, int]


class Imported(Answered):
    """The result of an import."""

    list_id: str
    tasks: int
    events: int
    added: int
    present: int
    diverged: tuple[str, ...]
    positions: dict[str, int]
    stages: dict[str, str] = Field(default_factory=dict)
    settled: int = 0
    added_stages: tuple[str, ...] = ()


class Readiness(Answered):
    """The state of the services behind the API, and the lag of the read models behind the log."""

    ready: bool
    lag: int | None
    positions: dict[str, int]
    log: dict[str, int]
    problems: tuple[str, ...]


class PresentUser(Answered):
    """A user on a channel, with the number of sockets."""

    user: str
    connections: int
    viewing: bool
    typing: bool


class Present(Answered):
    """The users on a channel, on any node. `total` also counts those beyond the first 1,000."""

    channel: str
    present: tuple[PresentUser, ...]
    total: int


class ConnectedUser(Answered):
    """A connected user, with the numbers of sockets and of nodes."""

    user: str
    connections: int
    nodes: int
