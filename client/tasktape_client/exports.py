"""The calls for exports of the audit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from tasktape_client.calls import Calls, path_of
from tasktape_client.transport import Call

ExportFormat = Literal["csv", "jsonl", "parquet", "xes", "ocel"]


@dataclass(frozen=True, slots=True)
class Export:
    """An export that is being received. `until` are the positions up to which it has all events."""

    until: str
    chunks: AsyncIterable[bytes]


class ExportCalls(Calls):
    """The calls for exports. They raise `TasktapeError`, also while an export is being received."""

    @asynccontextmanager
    async def export(
        self, export_format: ExportFormat, params: Iterable[tuple[str, str]] = ()
    ) -> AsyncGenerator[Export]:
        """Begin an export of the audit. `params` are the filters and options of `GET /api/audit/export`."""
        call = Call(
            "GET",
            path_of("audit", "export"),
            params=[("format", export_format), *params],
            headers=self._after(self._written),
        )
        async with self._transport.download(call) as answer:
            yield Export(answer.headers.get("tasktape-position", ""), answer.chunks)
