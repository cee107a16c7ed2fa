"""The close codes of sockets, and the client's reaction to each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CloseReason:
    """The reason for closing a socket. After codes 4000 to 4499 clients reconnect within the window."""

    code: int
    reason: str
    retry_after_ms: tuple[int, int] = (0, 1_000)

    @property
    def come_back(self) -> bool:
        """Return True if the client should reconnect."""
        return 4000 <= self.code < 4500


TOO_SLOW = CloseReason(4008, "too slow")

BAD_TOKEN = 4500
BAD_MESSAGE = 4501
NOT_AUTHENTICATED = CloseReason(4502, "no authentication in time")
TOO_MANY = CloseReason(4504, "too many connections")
FORBIDDEN = CloseReason(4507, "forbidden")
TOKEN_EXPIRED = CloseReason(4005, "the token has expired")
INTERNAL_ERROR = CloseReason(4000, "internal error", (1_000, 5_000))
NO_PONG = CloseReason(4012, "no pong")
RATE = CloseReason(4013, "too many messages", (1_000, 5_000))
RESTARTING = CloseReason(4001, "restarting", (0, 8_000))
CAN_NOT_RECOVER = CloseReason(4001, "missed updates cannot be read now", (1_000, 5_000))
