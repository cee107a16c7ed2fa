"""Content coding: negotiation of what a client accepts, and gzip.

Compressing a secret together with data chosen by an attacker would reveal the secret by the length (BREACH).
No response contains a secret: only clients send tokens, and browsers never send them automatically.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence

from api.export.compression import Coding

MIN_BYTES = 1024
"""Smaller content is not worth compressing: it fits into a packet."""
LEVEL = 5
_COMPRESSIBLE = re.compile(r"^(text/(?!event-stream)|application/([^;]*\+)?(json|javascript)|image/svg\+xml)")
_WEIGHT = re.compile(r"^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$")


def compressible(media_type: str, size_bytes: int) -> bool:
    """Return True if compressing content of this type and size is worth it."""
    return size_bytes >= MIN_BYTES and _COMPRESSIBLE.match(media_type) is not None


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Return True if gzip is accepted with at least the weight of uncompressed content."""
    return accepted_coding(accept_encoding, ("gzip",)) is not None


def accepted_coding(accept_encoding: Sequence[str], offered: Sequence[Coding]) -> Coding | None:
    """Return the accepted coding with the highest weight; None if uncompressed content has more.

    Of those with the same weight it is the first (RFC 9110, 12.5.3).
    """
    weights: dict[str, float] = {}
    for part in ",".join(accept_encoding).lower().split(","):
        coding, *parameters = (each.strip() for each in part.split(";"))
        weight = next((float(found[1]) for each in parameters if (found := _WEIGHT.match(each))), 1.0)
        weights.setdefault("gzip" if coding == "x-gzip" else coding, weight)
    offers = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in offered}
    best = max(offered, key=lambda coding: offers[coding])
    return best if 0 < offers[best] >= weights.get("identity", 0.0) else None


def compressed(content: bytes | memoryview) -> bytes:
    """Return the content compressed with gzip; equal content gives equal bytes."""
    return gzip.compress(content, LEVEL, mtime=0)
