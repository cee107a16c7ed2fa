"""Compression of an export while it is written."""

from __future__ import annotations

import zlib
from typing import Literal, Protocol

import zstandard

Coding = Literal["gzip", "zstd"]
CODINGS: tuple[Coding, ...] = ("zstd", "gzip")
"""The better one comes first."""
GZIP_LEVEL, ZSTD_LEVEL = 4, 3
GZIP_WINDOW = 31
"""zlib's window of 2¹⁵ bytes, with the header of gzip."""


class Compressor(Protocol):
    """A compressor of one file."""

    def compress(self, data: bytes, /) -> bytes:
        """Return compressed bytes, perhaps none."""

    def flush(self) -> bytes:
        """Return the bytes that end the file."""


def compressor(coding: Coding) -> Compressor:
    """Return a compressor for a new file."""
    if coding == "gzip":
        return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
