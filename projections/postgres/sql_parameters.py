"""Composed statements: text with numbered parameters, and their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Statement = tuple[Any, ...]
"""The text and the values, in asyncpg's form."""


@dataclass(slots=True)
class Parameters:
    """The values of a statement's numbered parameters."""

    values: list[Any] = field(default_factory=list)

    def add(self, value: Any, kind: str) -> str:
        """Add a value of an SQL type, and return the SQL of its parameter."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


def array(parameter: str, kind: str) -> str:
    """Return the SQL of an array parameter whose length PostgreSQL does not look at when it plans.

    A plan for a length of one or two looks cheaper than the plan for any length. So PostgreSQL would plan the
    statement anew each time, which often takes longer than to run it.
    """
    return f"(SELECT {parameter}::{kind}[])::{kind}[]"
