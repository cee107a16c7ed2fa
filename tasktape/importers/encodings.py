"""The encoding of an XML file, found as XML 1.0 says (appendix F), and its bytes as UTF-8.

Expat knows four encodings. Python's codecs read the others. A file that begins in one encoding and declares
another is refused, because either could be wrong.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

HEAD_BYTES = 1_024
"""A declaration stands within so many bytes, or there is none."""
_DECLARED = re.compile(
    r"""^\s*<\?xml\s[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']|^\s*<\?xml\s+encoding\s*=\s*["']([^"'>]*)["']"""
)
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9._-]{0,39}\Z")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
_BEGINNINGS = (
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
    ("<?xm".encode("cp037"), "cp037"),
)
"""The beginnings of files without a byte order mark, in encodings that do not contain ASCII."""
_NOT_FOR_FILES = frozenset(
    [
        *("utf-7", "idna", "punycode", "raw-unicode-escape", "unicode-escape"),
        *("undefined", "charmap", "mbcs", "oem"),
    ]
)
"""Codecs of Python that are no encodings of files, or that hide markup."""


class BadEncoding(Exception):
    """An error: the bytes are not in the encoding that they, or the first line, declare."""


def as_utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Return an XML file as UTF-8, whatever its declaration says. Raises `BadEncoding`."""
    pieces = iter(chunks)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    encoding = encoding_of(head[:HEAD_BYTES])
    if encoding == "utf-8":
        yield head
        yield from pieces  # Expat validates it as well as a codec does.
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        yield decoder.decode(head).encode()
        for piece in pieces:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", True).encode()
    except UnicodeError:
        raise BadEncoding(f"the file says that it is {encoding}, and has bytes that are not") from None


def encoding_of(head: bytes) -> str:
    """Return the encoding of the file that begins so. Raises `BadEncoding`."""
    mark = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    found = mark or next((name for beginning, name in _BEGINNINGS if head.startswith(beginning)), None)
    match = _DECLARED.match(head.decode(found or "latin-1", errors="replace").removeprefix("\ufeff"))
    if match is None:
        if found == "cp037":
            raise BadEncoding("a file in EBCDIC has to say in which form of it")
        return found or "utf-8"
    declared = _codec_of(match[1] or match[2] or "")
    if found is None:
        if _family(declared) in ("utf-16", "utf-32"):
            raise BadEncoding(f"the file says that it is {declared}, and does not begin so")
        return declared
    if found == "cp037":
        if not _reads_alike(declared, head):
            raise BadEncoding(f"the file says that it is {declared}, and begins as EBCDIC does")
        return declared
    if _family(declared) != _family(found):
        raise BadEncoding(f"the file says that it is {declared}, and begins as {_family(found)} does")
    return found


def _codec_of(declared: str) -> str:
    """Return the name of the codec for a declared encoding. Raises `BadEncoding`."""
    try:
        codec = codecs.lookup(declared if _NAME.match(declared) else "")
    except LookupError:
        raise BadEncoding(f"the file is in an encoding that is not known here, {declared[:40]!r}") from None
    if codec.name in _NOT_FOR_FILES or not codec._is_text_encoding:  # noqa: SLF001  # there is no other way to know
        raise BadEncoding(f"the file is in an encoding that is not read here, {declared[:40]!r}")
    return codec.name


def _family(codec: str) -> str:
    name = "utf-8" if codec == "utf-8-sig" else codec
    return name[:6] if name.startswith(("utf-16", "utf-32")) else name


def _reads_alike(codec: str, head: bytes) -> bool:
    """Tell whether a codec reads the beginning of a declaration in EBCDIC as one."""
    return head[:5].decode(codec, errors="replace") == "<?xml"
