"""The keys that sign tree heads, in a file: each signs from its time on, until the next key's time.

The encoding of a private key is that of Go's package `sumdb/note`.
"""

from __future__ import annotations

import os
import re
import secrets
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.dates import format_time
from app.merkle.notes import ED25519, PublicKey, Signature, Unreadable, from_base64
from app.settings import BadSettings

MAX_FILE_BYTES = 1_048_576
_SEED_BYTES = 32
_LINE = re.compile(r"(\S+) PRIVATE\+KEY\+([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and from when on it signs."""

    since: datetime
    public: PublicKey
    private: Ed25519PrivateKey

    @classmethod
    def generate(cls, name: str, since: datetime) -> SigningKey:
        """Return a new key."""
        return cls.of_seed(name, since, secrets.token_bytes(_SEED_BYTES))

    @classmethod
    def of_seed(cls, name: str, since: datetime, seed: bytes) -> SigningKey:
        """Return the key that these 32 bytes are."""
        private = Ed25519PrivateKey.from_private_bytes(seed)
        return cls(since, PublicKey(name, private.public_key().public_bytes_raw()), private)

    def sign(self, text: str) -> Signature:
        """Return its signature of the text of a note."""
        return Signature(self.public.name, self.public.id, self.private.sign(text.encode()))

    @property
    def line(self) -> str:
        """The key as a line of the file."""
        encoded = b64encode(bytes([ED25519]) + self.private.private_bytes_raw()).decode()
        public = self.public
        return f"{format_time(self.since)} PRIVATE+KEY+{public.name}+{public.id.hex()}+{encoded}\n"


class KeyRing:
    """All keys of a log, the oldest first; the last one whose time has come signs."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self.keys = sorted(keys, key=lambda key: key.since)

    @property
    def public(self) -> list[PublicKey]:
        """The keys that verify."""
        return [key.public for key in self.keys]

    def current(self, now: datetime) -> SigningKey | None:
        """Return the key that signs at a time, or None before the first one's time."""
        return next((key for key in reversed(self.keys) if key.since <= now), None)

    def signers(self, now: datetime, before: Sequence[PublicKey]) -> list[SigningKey]:
        """Return the keys that sign a head, if these signed the one before it.

        The first head of a key is also signed by the former keys: so who trusts those will trust it.
        """
        current = self.current(now)
        if current is None:
            return []
        former = [] if current.public in before else [key for key in self.keys if key.public in before]
        return [current, *former]


def verify(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Return whether an Ed25519 signature of a message is that of a key."""
    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_keys(path: Path) -> KeyRing:
    """Return the keys of a file. Raise `BadSettings`."""
    try:
        with path.open(encoding="utf-8") as file:
            content = file.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise BadSettings(f"TASKTAPE_TREE_HEAD_KEYS: {path} cannot be read: {error}") from None
    lines = [line for line in content.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise BadSettings(f"TASKTAPE_TREE_HEAD_KEYS: {path} contains no key")
    return KeyRing([_key(path, number, line) for number, line in enumerate(lines, 1)])


def make_keys(path: Path, name: str, now: datetime) -> KeyRing:
    """Make the file with a first key, which only its owner can read; return what it contains then.

    Raise `BadSettings`.
    """
    try:
        _write_once(path, SigningKey.generate(name, now).line)
    except OSError as error:
        raise BadSettings(f"TASKTAPE_TREE_HEAD_KEYS: {path} cannot be made: {error.strerror}") from None
    return read_keys(path)


def has_keys(path: Path) -> bool:
    """Return whether there is a file of keys."""
    return path.exists()


def add_key(path: Path, since: datetime) -> SigningKey:
    """Add a new key to a file, which signs from a time on, and return it. Raise `BadSettings`."""
    last = read_keys(path).keys[-1]
    if since <= last.since:
        raise BadSettings(
            f"the last key of {path} signs from {format_time(last.since)} on: name a later time"
        )
    key = SigningKey.generate(last.public.name, since)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(key.line)
    except OSError as error:
        raise BadSettings(f"{path} cannot be written: {error.strerror}") from None
    return key


def _write_once(path: Path, content: str) -> None:
    """Write a private file, unless there is one; no other process reads half of it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()


def _key(path: Path, number: int, line: str) -> SigningKey:
    found = _LINE.fullmatch(line.strip())
    try:
        if found is None:
            raise Unreadable("a line is a time and a private key")
        since = datetime.fromisoformat(found[1])
        content = from_base64(found[4])
        if len(content) != 1 + _SEED_BYTES or content[0] != ED25519:
            raise Unreadable("the key is not one of Ed25519")
        key = SigningKey.of_seed(found[2], since.astimezone(UTC), content[1:])
        if key.public.id.hex() != found[3]:
            raise Unreadable("the id of the key is not that of its name and its content")
    except ValueError as error:
        raise BadSettings(f"TASKTAPE_TREE_HEAD_KEYS: key {number} of {path}: {error}") from None
    return key
