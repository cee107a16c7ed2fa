"""Upcasters: functions that read events of earlier schema versions.

An upcaster takes the data of one schema version of an event type, and returns that of the next version. It is
pure: it depends on the data only. Its result must be valid in the next version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Mapping[str, Sequence[Upcaster]] = {}
"""Event type → its upcasters: from version 1 to 2, from 2 to 3, and so on. Types of one version have none."""
