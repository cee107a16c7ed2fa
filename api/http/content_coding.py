"""Content coding: which one a client accepts, and gzip.

Compressing a secret together with what an attacker chose would give it away by the length (BREACH). No answer
of ours holds one: tokens are sent by clients only, and never by browsers of their own accord.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence

MIN_BYTES = 1024
"""A smaller content is not worth it: it fits into a packet as it is."""
LEVEL = 5
_COMPRESSIBLE = re.compile(r"^(text/(?!event-stream)|application/([^;]*\+)?(json|javascript)|image/svg\+xml)")
_WEIGHT = re.compile(r"^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$")


def compressible(media_type: str, size_bytes: int) -> bool:
    """Return True if compressing such a content is worth it."""
    return size_bytes >= MIN_BYTES and _COMPRESSIBLE.match(media_type) is not None


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Return True if gzip is accepted, and not less than the content as it is (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in ",".join(accept_encoding).lower().split(","):
        coding, *parameters = (each.strip() for each in part.split(";"))
        weight = next((float(found[1]) for each in parameters if (found := _WEIGHT.match(each))), 1.0)
        weights.setdefault("gzip" if coding == "x-gzip" else coding, weight)
    of_gzip = weights.get("gzip", weights.get("*", 0.0))
    return of_gzip > 0 and of_gzip >= weights.get("identity", 0.0)


def compressed(content: bytes | memoryview) -> bytes:
    """Return the content in gzip; the same bytes each time."""
    return gzip.compress(content, LEVEL, mtime=0)
