"""The signing of tree heads in an instance, for `doctor`, or the reason why nothing is signed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from tasktape.local.findings import Finding

LIMIT_S = 2.0
MEND = "tasktape audit verify names the first record that differs"
_REPORTS = """
    SELECT figures -> 'tree_heads' AS report FROM "{schema}".workers
    WHERE figures -> 'tree_heads' IS NOT NULL AND seen_at > clock_timestamp() - interval '5 seconds'
"""


async def read_signing(url: str, schema: str) -> Sequence[Any] | None:
    """Return the reports of workers that sign; None if the database does not respond."""
    plain = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    try:
        connection = await asyncpg.connect(plain, timeout=LIMIT_S, command_timeout=LIMIT_S)
        try:
            rows = await connection.fetch(_REPORTS.format(schema=schema))
        finally:
            await connection.close(timeout=LIMIT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    return [json.loads(row["report"]) for row in rows]


def signing_finding(reports: Sequence[Any] | None) -> list[Finding]:
    """Return `doctor`'s finding on tree heads; nothing if no worker signs."""
    if not reports:
        return []
    problem = next((report["problem"] for report in reports if report["problem"]), None)
    if problem is not None:
        return [Finding("tree heads", "fail", f"no tree head is signed: {problem}", MEND)]
    return [Finding("tree heads", "ok", f"{max(report['size'] for report in reports)} records are signed")]
