"""The call for SQL over the audit."""

from __future__ import annotations

from typing import Literal

from pydantic_core import to_json

from tasktape_client.calls import JSON, Calls, path_of, typed
from tasktape_client.models import SqlResult
from tasktape_client.transport import Answer, Call

SqlFormat = Literal["json", "csv", "parquet", "arrow"]


class SqlCalls(Calls):
    """The call for SQL over the audit, for administrators and auditors. It raises `TasktapeError`."""

    async def sql(self, statement: str, *, limit: int | None = None) -> SqlResult:
        """Return the first rows of a query of the views of the audit, by default 1,000."""
        return typed(SqlResult, (await self._sql(statement, "json", limit)).body)

    async def sql_as(
        self, statement: str, form: SqlFormat, *, limit: int | None = None
    ) -> tuple[bytes, bool]:
        """Return the same rows in another format, and whether the query has more of them."""
        answer = await self._sql(statement, form, limit)
        return answer.body, answer.headers.get("tasktape-truncated") == "true"

    async def _sql(self, statement: str, form: SqlFormat, limit: int | None) -> Answer:
        body = {"sql": statement, "format": form} | ({} if limit is None else {"limit": limit})
        headers = {"Content-Type": JSON, **self._after(self._written)}
        call = Call(
            "POST", path_of("audit", "sql"), content=to_json(body), headers=headers, is_json=form == "json"
        )
        return await self._transport.send(call)
