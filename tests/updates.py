"""The choice of updates that a test waits for, on every transport."""

from collections.abc import Mapping
from typing import Any


def matches(update: Mapping[str, Any], type_: str = "", of: str = "") -> bool:
    """Return True for an event whose type begins so, and whose stream is that of this id."""
    event: Mapping[str, str] = update["event"]
    return event.get("type", "").startswith(type_) and event.get("stream", "").endswith(of)
