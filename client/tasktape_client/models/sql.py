"""Results of SQL over the audit."""

from __future__ import annotations

from typing import Any

from tasktape_client.models.base import Answered


class SqlColumn(Answered):
    """A column of a result: its name, and its type in PostgreSQL."""

    name: str
    type: str


class SqlResult(Answered):
    """The rows of a query; `truncated` if it has more."""

    columns: list[SqlColumn]
    rows: list[list[Any]]
    truncated: bool
