"""Idempotency keys: a repeated command gives the same event, on whichever node it arrives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from app.errors import Malformed
from app.ids import derived_id

MAX_KEY_CHARS = 255


@dataclass(frozen=True, slots=True)
class CommandKey:
    """The identity of a command, derived from a user's `Idempotency-Key`.

    `event_id` and `created_id` are derived from user and key, so that a retry that races its first attempt
    creates the same event. `command_hash` distinguishes a retry from another command with the same key.
    """

    event_id: str
    created_id: str
    command_hash: str

    def part(self, name: str) -> CommandKey:
        """Return the key of a command that is a part of this one."""
        return CommandKey(
            event_id=derived_id("event of", self.event_id, name),
            created_id=derived_id("created of", self.event_id, name),
            command_hash=self.command_hash,
        )


def command_key(user: str, header: str | None, *, method: str, path: str, body: Any) -> CommandKey | None:
    """Parse an `Idempotency-Key` header. Raise `Malformed`."""
    if header is None:
        return None
    key = header.strip()
    if not 0 < len(key) <= MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
        raise Malformed(f"Idempotency-Key must have 1 to {MAX_KEY_CHARS} printable ASCII characters")
    return CommandKey(
        event_id=derived_id("event", user, key),
        created_id=derived_id("created", user, key),
        command_hash=command_hash(method, path, body),
    )


def command_hash(method: str, path: str, body: Any) -> str:
    """Return a short digest of a command; order and spacing of JSON members do not matter."""
    canonical = json.dumps([method, path, body], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
