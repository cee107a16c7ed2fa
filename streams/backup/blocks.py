"""Blocks: the outer form of a backup file. Each has a number and the digest of everything up to its end.

A file is the magic bytes, the version of the format, and the blocks. A block is its kind, its number, the
length of its payload, the payload and a digest: the SHA-256 of the digest before it, followed by the block up
to there. The digest before the first block is the SHA-256 of the magic bytes and the version. So a changed,
missing or moved block is found where it is, and the last digest identifies the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

MAGIC = b"TASKTAPE-BACKUP\n"
FORMAT = 1
HEADER, RECORDS, FOOTER = b"H", b"R", b"F"
KINDS = frozenset({HEADER, RECORDS, FOOTER})
MAX_PAYLOAD_BYTES = 1 << 28
_VERSION = Struct(">H")
_HEAD = Struct(">cII")
"""Kind, number, length of the payload."""
DIGEST_BYTES = 32


class BadBackup(Exception):
    """Error for a file that is not a sound backup, or that does not fit; the message is a line for users."""


class Block(NamedTuple):
    """A block of a file, and its place."""

    kind: bytes
    number: int
    at: int
    payload: bytes


class BlockWriter:
    """Writes blocks to a new file; `digest` is that of everything written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0
        start = MAGIC + _VERSION.pack(FORMAT)
        file.write(start)
        self.digest = sha256(start).digest()

    def write(self, kind: bytes, payload: bytes) -> None:
        """Write the next block. Raise `BadBackup` if it is too large, and `OSError`."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise BadBackup(f"a record of {len(payload):,} bytes is too large for a backup")
        head = _HEAD.pack(kind, self._number, len(payload))
        self.digest = sha256(self.digest + head + payload).digest()
        for part in (head, payload, self.digest):
            self._file.write(part)
        self._number += 1


class BlockReader:
    """Reads the blocks of a file in order. Damage is raised as `BadBackup`, which names the byte."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._number = 0
        self.size = os.fstat(file.fileno()).st_size
        self.at = 0
        self.digest = self._start()

    def damaged(self, at: int, what: str) -> BadBackup:
        """Return the error for damage at a byte of the file."""
        return BadBackup(f"{self._path} is damaged at byte {at}: {what}")

    def blocks(self) -> Iterator[Block]:
        """Read and check the blocks up to the footer, which must end the file."""
        while True:
            at, head, kind, length = self._head()
            payload = self._take(length, at)
            stored = self._take(DIGEST_BYTES, at)
            self.digest = self._checked(at, sha256(self.digest + head + payload).digest(), stored)
            yield Block(kind, self._number, at, payload)
            self._number += 1
            if kind == FOOTER:
                break
        if self.at < self.size:
            raise self.damaged(self.at, f"{self.size - self.at} bytes follow its end")

    def ends(self) -> Iterator[Block]:
        """Read and check the header and the footer only, and skip the blocks between them."""
        while True:
            at, head, kind, length = self._head()
            before = self.digest
            if kind == RECORDS:
                self._skip(length, at)
                self.digest = self._take(DIGEST_BYTES, at)
            else:
                payload = self._take(length, at)
                stored = self._take(DIGEST_BYTES, at)
                self.digest = self._checked(at, sha256(before + head + payload).digest(), stored)
                yield Block(kind, self._number, at, payload)
            self._number += 1
            if kind == FOOTER:
                return

    def _start(self) -> bytes:
        start = self._file.read(len(MAGIC) + _VERSION.size)
        self.at = len(start)
        if not start.startswith(MAGIC):
            empty = "it is empty" if not start else "it begins with other bytes"
            raise BadBackup(f"{self._path} is not a backup of Tasktape: {empty}")
        if len(start) < len(MAGIC) + _VERSION.size:
            raise self.damaged(self.at, "the file ends there; it is truncated")
        (version,) = _VERSION.unpack_from(start, len(MAGIC))
        if version > FORMAT:
            raise BadBackup(
                f"{self._path} has format {version}, this release reads up to {FORMAT}: upgrade Tasktape"
            )
        if version < 1:
            raise self.damaged(len(MAGIC), f"there is no format {version}")
        return sha256(start).digest()

    def _head(self) -> tuple[int, bytes, bytes, int]:
        at = self.at
        if at == self.size:
            raise self.damaged(at, f"the file ends before block {self._number}; it is truncated")
        head = self._take(_HEAD.size, at)
        kind, number, length = _HEAD.unpack(head)
        expected = KINDS - {HEADER} if self._number else {HEADER}
        if kind not in KINDS or length > MAX_PAYLOAD_BYTES:
            raise self.damaged(at, f"there is no block where block {self._number} begins")
        if number != self._number or kind not in expected:
            raise self.damaged(
                at, f"block {number} stands in the place of block {self._number}; blocks are missing or moved"
            )
        return at, head, kind, length

    def _take(self, length: int, block_at: int) -> bytes:
        taken = self._file.read(length)
        self.at += len(taken)
        if len(taken) < length:
            raise self._truncated(block_at)
        return taken

    def _skip(self, length: int, block_at: int) -> None:
        if self.at + length > self.size:
            self.at = self.size
            raise self._truncated(block_at)
        self.at = self._file.seek(self.at + length)

    def _truncated(self, block_at: int) -> BadBackup:
        what = f"the file ends within block {self._number}, which begins at byte {block_at}"
        return self.damaged(self.at, f"{what}; it is truncated, or the length of the block is wrong")

    def _checked(self, at: int, computed: bytes, stored: bytes) -> bytes:
        if computed != stored:
            raise self.damaged(at, f"the bytes of block {self._number} do not match its digest")
        return stored
