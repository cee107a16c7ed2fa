"""The limits of the protocol, which clients receive or may rely on."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 64 * 1024
MAX_BATCH = 64
"""The most messages of a client in one array."""
MAX_SUBSCRIPTIONS = 1_000
MAX_MISSED = 10_000
MAX_SIGNAL_BYTES = 1024
MESSAGES_PER_S = 50
BURST_MESSAGES = 200
PING_S = 25
AUTHENTICATION_S = 10
MAX_REPLAYS = 8
"""The most replays of a user on a node."""
MAX_TAILS = 8
"""The most tails of the audit of a user on a node."""
MAX_SPEED = 1e9
MAX_GAP_MS = 3_600_000
DEFAULT_GAP_MS = 2_000
