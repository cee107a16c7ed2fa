"""Search keys: what events are found by, as numbers of 64 bits, which are much smaller than texts.

A key is a part of a digest of the kind and the text. Among ten million different texts, the chance that any
two have the same key is one in 370,000.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

KEY_BYTES = 8
KEYS_KEPT = 16_384
KEPT_CHARS = 200
"""The most characters of a text whose key is kept, so that kept keys take little memory."""


def key_of(kind: str, text: str) -> int:
    """Return the key of a text of this kind: `actor`, `list`, and so on."""
    return (_kept_key if len(text) <= KEPT_CHARS else _key)(kind, text)


def _key(kind: str, text: str) -> int:
    digest = blake2b(f"{kind}:{text}".encode(errors="replace"), digest_size=KEY_BYTES).digest()
    return int.from_bytes(digest, signed=True)


_kept_key = lru_cache(KEYS_KEPT)(_key)


def field_key(field: str) -> int:
    """Return the key of events that changed a field."""
    return key_of("field", field)


def from_key(field: str, text: str) -> int:
    """Return the key of events that removed a value from a field."""
    return key_of(f"from:{field}", text)


def to_key(field: str, text: str) -> int:
    """Return the key of events that added a value to a field."""
    return key_of(f"to:{field}", text)
