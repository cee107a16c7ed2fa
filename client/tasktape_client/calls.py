"""What all calls have in common: keys, versions, positions, pages and types."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import date
from typing import Any, Generic, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_core import to_json
from uuid_utils import uuid7

from tasktape_client.errors import Pending, TasktapeError
from tasktape_client.models import Answered
from tasktape_client.positions import format_positions, parse_positions, positions_to_json
from tasktape_client.transport import Answer, Call, Transport, foreign

M = TypeVar("M", bound=Answered)

PAGE_LIMIT = 200
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class Creation(TypedDict, total=False):
    """What every command takes, also one that creates something.

    `key` is its Idempotency-Key, a new one unless given: what comes again with its key is done once.
    `wait_s` is how long to wait for its outcome.
    """

    key: str
    wait_s: int
    correlation_id: str


class Options(Creation, total=False):
    """What a command takes; `if_match` is the version that it was meant for."""

    if_match: int | None


class Items(Generic[M]):
    """A collection: iterated over, it is read page by page, and no page is read that is not needed."""

    def __init__(
        self, calls: Calls, model: type[M], path: str, params: Mapping[str, Any], at_most: int | None
    ) -> None:
        self._calls = calls
        self._model = model
        self._path = path
        self._params = params
        self._at_most = at_most
        self.positions: dict[str, int] = {}
        """How far the read models were when the first page was read: updates since then are new."""

    async def __aiter__(self) -> AsyncGenerator[M]:
        """Read the items. Raises `TasktapeError`."""
        wanted, cursor = self._at_most, None
        while wanted is None or wanted > 0:
            limit = PAGE_LIMIT if wanted is None else min(wanted, PAGE_LIMIT)
            answer = await self._calls.read(self._path, {**self._params, "limit": limit, "cursor": cursor})
            page = _page(answer)
            if cursor is None:
                self.positions = page.get("positions") or {}
            for item in page["items"]:
                yield typed(self._model, item)
            cursor = page.get("next_cursor")
            if cursor is None:
                return
            wanted = None if wanted is None else wanted - len(page["items"])

    async def all(self) -> list[M]:
        """Read the items into a list. Raises `TasktapeError`."""
        return [item async for item in self]


class Calls:
    """How calls are made; the calls themselves are in the modules named after nouns."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._written: dict[int, int] = {}

    @property
    def positions(self) -> dict[str, int]:
        """Where the commands of this client were written: its reads wait until they are visible."""
        return positions_to_json(self._written)

    async def read(
        self, path: str, params: Mapping[str, Any] | None = None, *, accepted: Iterable[int] = ()
    ) -> Answer:
        """Read what is at a path, not before one's own commands are visible. Raises `TasktapeError`."""
        call = Call(
            "GET",
            path,
            params=_query(params),
            headers=self._after(self._written),
            accepted=frozenset(accepted),
        )
        return await self._transport.send(call)

    async def command(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Answer:
        """Give a command, once however often it has to be sent; `options` are `Options`.

        Raises `Pending` for a command without an outcome yet, and `TasktapeError`.
        """
        answer = await self._transport.send(
            Call(
                method,
                path,
                params=_query(params),
                content=None if body is None else to_json(body),
                headers=_headers(method, body, options),
            )
        )
        self._remember(answer)
        if (
            answer.status == 202
            and isinstance(answer.body, Mapping)
            and answer.body.get("outcome") == "pending"
        ):
            raise Pending(str(answer.body["position"]))
        return answer

    def _items(
        self, model: type[M], path: str, params: Mapping[str, Any] | None = None, at_most: int | None = None
    ) -> Items[M]:
        return Items(self, model, path, params or {}, at_most)

    def _remember(self, answer: Answer) -> None:
        try:
            written = parse_positions(answer.headers.get("tasktape-position", ""))
        except ValueError:
            raise foreign(f"{self._transport.url} (Tasktape-Position)", answer.status) from None
        for partition, offset in written.items():
            self._written[partition] = max(offset, self._written.get(partition, -1))

    @staticmethod
    def _after(positions: Mapping[int, int]) -> dict[str, str]:
        return {"Tasktape-Position": format_positions(positions)} if positions else {}


def typed(model: type[M], body: Any) -> M:
    """What came, as `model`. Raises `TasktapeError` if it is something else."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise foreign(f"the server ({model.__name__} {where}: {first['msg']})") from None


def path_of(*parts: str) -> str:
    """The path of a resource of the API. Raises `TasktapeError` for what can't be a part of it.

    Nothing is called `.` or `..`: the address would be that of something else, a list instead of its member.
    """
    for part in parts:
        if part in {"", ".", ".."}:
            raise TasktapeError(f"nothing is called {part!r}", code="not_found", status=404)
    return "/".join(["/api", *(quote(part, safe=":") for part in parts)])


def _page(answer: Answer) -> Mapping[str, Any]:
    if not isinstance(answer.body, Mapping) or not isinstance(answer.body.get("items"), list):
        raise foreign("the server", answer.status)
    return answer.body


def _headers(method: str, body: object, options: Options) -> dict[str, str]:
    headers = {"Idempotency-Key": options.get("key") or str(uuid7())}
    if body is not None:
        headers["Content-Type"] = MERGE_PATCH if method == "PATCH" else JSON
    given = {
        "If-Match": ('"%d"', options.get("if_match")),
        "Prefer": ("wait=%d", options.get("wait_s")),
        "X-Correlation-ID": ("%s", options.get("correlation_id")),
    }
    return headers | {name: form % value for name, (form, value) in given.items() if value is not None}


def _query(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The query parameters that are given, dates as ISO 8601."""
    given = {name: value for name, value in (params or {}).items() if value is not None}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in given.items()}
