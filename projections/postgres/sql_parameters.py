"""Statements that are put together: text with numbered parameters, and their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Statement = tuple[Any, ...]
"""The text and the values, as asyncpg takes them."""


@dataclass(slots=True)
class Parameters:
    """The values of a statement's numbered parameters."""

    values: list[Any] = field(default_factory=list)

    def add(self, value: Any, kind: str) -> str:
        """The SQL that stands for one more value, of that type."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"
