"""The bytes of a file to import, plain or gzipped, a piece at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

CHUNK_BYTES = 64 * 1024
BOMB_BYTES = 256 * 1024 * 1024
BOMB_RATIO = 400
"""A file that unpacks to more than this, and to so many times its size, is not a log."""
_GZIP_MAGIC = b"\x1f\x8b"


class Damaged(Exception):
    """An error: a gzipped file cannot be unpacked to its end."""


class ImportFile:
    """A file that is read once, from front to back. `position` is how much of `size` has been read."""

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        self._raw = self._stack.enter_context(path.open("rb"))
        self.size = path.stat().st_size
        gzipped = self._raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        self._raw.seek(0)
        self._file: BinaryIO = self._raw
        if gzipped:
            self._file = cast("BinaryIO", self._stack.enter_context(gzip.GzipFile(fileobj=self._raw)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def position(self) -> int:
        """Return the number of bytes on the disk that have been read."""
        return min(self._raw.tell(), self.size)

    def chunks(self) -> Iterator[bytes]:
        """Return the unpacked bytes, piece by piece. Raises `Damaged`, `OSError`."""
        unpacked_bytes = 0
        while True:
            try:
                chunk = self._file.read(CHUNK_BYTES)
            except EOFError:
                raise Damaged("the gzipped file ends early") from None
            except (gzip.BadGzipFile, zlib.error) as error:
                raise Damaged(f"the gzipped file is damaged: {error}") from None
            if not chunk:
                return
            unpacked_bytes += len(chunk)
            if unpacked_bytes > max(BOMB_BYTES, BOMB_RATIO * self.size):
                raise Damaged(f"the gzipped file unpacks to more than {BOMB_RATIO} times its size")
            yield chunk
