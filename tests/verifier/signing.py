"""Signed heads of records that a test makes, by the definitions in docs/reference/tree-heads.md."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.verifier.rfc9162 import tree_hash

ORIGIN = "tasktape.example/log"
TIME = "2026-11-30T10:00:00.000Z"


class Signer:
    """A key pair of a log, or of a witness."""

    def __init__(self, seed: int = 1, kind: int = 1, name: str = ORIGIN) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self._name = name
        content = bytes([kind]) + self._private.public_key().public_bytes_raw()
        self._id = sha256(name.encode() + b"\n" + content).digest()[:4]
        self.key = f"{name}+{self._id.hex()}+{b64encode(content).decode()}"

    def line(self, body: str) -> str:
        """Return the line of the signature of a text."""
        return self._line(self._private.sign(body.encode()))

    def cosignature(self, body: str, seconds: int) -> str:
        """Return the line of the signature of a witness."""
        signature = self._private.sign(f"cosignature/v1\ntime {seconds}\n{body}".encode())
        return self._line(struct.pack(">Q", seconds) + signature)

    def _line(self, signature: bytes) -> str:
        return f"\u2014 {self._name} {b64encode(self._id + signature).decode()}\n"


def head_text(partitions: Sequence[Sequence[bytes]], origin: str = ORIGIN, time: str = TIME) -> str:
    """Return the text of the head of the records, given as canonical bytes, of each partition."""
    root = tree_hash(leaves_of(partitions))
    lines = [origin, str(sum(map(len, partitions))), b64encode(root).decode(), f"time {time}"]
    for number, each in enumerate(partitions):
        lines.append(f"partition {number} {len(each)} {b64encode(tree_hash(each)).decode()}")
    return "".join(f"{line}\n" for line in lines)


def leaves_of(partitions: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Return the contents of the leaves of the tree over partitions."""
    return [struct.pack(">IQ", number, len(each)) + tree_hash(each) for number, each in enumerate(partitions)]


def note(body: str, *lines: str) -> str:
    """Return a text with lines of signatures."""
    return body + "\n" + "".join(lines)
