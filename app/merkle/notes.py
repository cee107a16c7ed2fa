"""Signed notes and cosignatures (c2sp.org/signed-note, tlog-cosignature), and the text of public keys."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Self

ED25519 = 1
"""The type of signatures over the text."""
COSIGNATURE = 4
"""The type of signatures of witnesses over the text and a time."""
MAX_NOTE_BYTES = 1_048_576
MAX_SIGNATURES = 100
_KEY_BYTES = 32
_ID_BYTES = 4
_TIME_BYTES = 8
_LAST_TIME = 2**63 - 1
_SIGNATURE = re.compile("— ([^\\s+]+) ([A-Za-z0-9+/]+={0,2})")
_KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_NAME = re.compile(r"[^\s+]+")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")


class Unreadable(ValueError):
    """Error for a text that is not a note, a key, or a tree head; its text says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures; `type` is that of its signatures."""

    name: str
    key: bytes
    type: int = ED25519

    @property
    def id(self) -> bytes:
        """The id of the key, which is in its signatures."""
        return sha256(f"{self.name}\n".encode() + bytes([self.type]) + self.key).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """Return the text of the key: name, id, and type with key."""
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.type]) + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key of a text. Raise `Unreadable`."""
        found = _KEY.fullmatch(text)
        if found is None:
            raise Unreadable("a key is written as name+id+key")
        name, key_id, encoded = found.groups()
        content = from_base64(encoded)
        if len(content) != 1 + _KEY_BYTES or content[0] not in {ED25519, COSIGNATURE}:
            raise Unreadable("the key is not one of Ed25519")
        key = cls(name, content[1:], content[0])
        if key.id.hex() != key_id:
            raise Unreadable("the id of the key is not that of its name and its content")
        return key


Verify = Callable[[PublicKey, bytes, bytes], bool]
"""Returns whether an Ed25519 signature of a message is that of a key: key, signature, message."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A line with a signature, of any type: that follows from the key with this name and id."""

    name: str
    key_id: bytes
    content: bytes

    def __str__(self) -> str:
        return f"— {self.name} {b64encode(self.key_id + self.content).decode()}"

    def is_of(self, key: PublicKey) -> bool:
        """Return whether it names this key."""
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a line feed, and its signatures."""

    text: str
    signatures: tuple[Signature, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}\n" + "".join(f"{each}\n" for each in self.signatures)

    @classmethod
    def parse(cls, content: str) -> Self:
        """Return the note of a text. Raise `Unreadable`."""
        text, between, lines = content.rpartition("\n\n")
        if not between or not lines.endswith("\n"):
            raise Unreadable("a note is a text, an empty line, and lines with signatures")
        if _CONTROLS.search(content):
            raise Unreadable("a note has no control characters")
        signatures = lines.split("\n")[:-1]
        if len(signatures) > MAX_SIGNATURES:
            raise Unreadable(f"a note has at most {MAX_SIGNATURES} signatures")
        return cls(f"{text}\n", tuple(map(_signature, signatures)))

    def signed_by(self, keys: Iterable[PublicKey], verify: Verify) -> list[PublicKey]:
        """Return those of the keys that have signed. Raise `Unreadable` if a signature of one is wrong."""
        return [key for key in keys if self._is_signed_by(key, verify)]

    def _is_signed_by(self, key: PublicKey, verify: Verify) -> bool:
        found = [each for each in self.signatures if each.is_of(key)]
        for each in found:
            message, signature = signed_message(self.text, key.type, each.content)
            if not verify(key, signature, message):
                raise Unreadable(f"the signature of {key.name} is wrong")
        return bool(found)

    def with_signatures(self, more: Collection[Signature]) -> Self:
        """Return the note with more signatures; of each key it keeps the last one."""
        found = {(each.name, each.key_id): each for each in (*self.signatures, *more)}
        return replace(self, signatures=tuple(found.values())[:MAX_SIGNATURES])


def signed_message(text: str, type_: int, content: bytes) -> tuple[bytes, bytes]:
    """Return what a signature of this type signs, and the signature itself."""
    if type_ != COSIGNATURE:
        return text.encode(), content
    time_s = int.from_bytes(content[:_TIME_BYTES])
    return cosigned_message(text, time_s), content[_TIME_BYTES:]


def cosigned_message(text: str, time_s: int) -> bytes:
    """Return what a witness signs: the text, and when it saw that."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def is_key_name(name: str) -> bool:
    """Return whether a key may have this name."""
    return _NAME.fullmatch(name) is not None and not _CONTROLS.search(name)


def from_base64(text: str, size: int | None = None) -> bytes:
    """Return what a text in base64 stands for. Raise `Unreadable`, also for another size in bytes."""
    try:
        content = b64decode(text, validate=True)
    except ValueError:
        raise Unreadable("this is not base64") from None
    if b64encode(content).decode() != text or (size is not None and len(content) != size):
        raise Unreadable("this is not base64" if size is None else f"this is not base64 of {size} bytes")
    return content


def _signature(line: str) -> Signature:
    found = _SIGNATURE.fullmatch(line)
    content = b"" if found is None else from_base64(found[2])
    if found is None or len(content) <= _ID_BYTES:
        raise Unreadable("a signature is an em dash, a name, and base64")
    return Signature(found[1], content[:_ID_BYTES], content[_ID_BYTES:])
