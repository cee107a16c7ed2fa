"""The HTTP API for programs: typed answers, errors with a name, and patience with what passes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

TIMEOUT_S = 30.0
RETRY_DELAYS_S = (0.2, 0.5, 1.0, 2.0)
PAGE_LIMIT = 200


class ApiError(Exception):
    """The API refused, or can't be reached. The message is one line; `code` is the problem's."""

    def __init__(self, message: str, *, code: str = "unreachable", status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `pending` is the position of an event whose outcome is not known yet."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def pending(self) -> str | None:
        """Where the event was written, if it is not visible yet."""
        return str(self.body["position"]) if self.status == 202 else None


class ApiClient:
    """A client of one API, signed in with one token. Use it as a context manager."""

    def __init__(self, url: str, token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport,
            # A proxy of the environment knows nothing of this machine's own instance.
            trust_env=not is_local(url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Answer:
        """Read. Raises `ApiError`."""
        given = {name: value for name, value in params.items() if value is not None}
        return self._patiently("GET", path, params=given)

    def command(self, method: str, path: str, body: object = None, *, key: str) -> Answer:
        """Give a command, once however often it is tried, by its Idempotency-Key. Raises `ApiError`."""
        headers = {"Idempotency-Key": key}
        kind = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        return self._patiently(method, path, json=body, headers={**headers, **kind})

    def items(self, path: str, *, at_most: int, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a collection, page by page, at most so many. Raises `ApiError`."""
        cursor: str | None = None
        while at_most > 0:
            page = self.get(path, limit=min(at_most, PAGE_LIMIT), cursor=cursor, **params).body
            yield from page["items"]
            at_most -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _patiently(self, method: str, path: str, **how: Any) -> Answer:
        """Try again, a few times, while the server is restarting or busy."""
        for delay_s in RETRY_DELAYS_S:
            try:
                return self._once(method, path, **how)
            except ApiError as error:
                if error.status not in (None, 429, 502, 503, 504):
                    raise
                time.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
        return self._once(method, path, **how)

    def _once(self, method: str, path: str, **how: Any) -> Answer:
        try:
            answer = self._http.request(method, path, **how)
        except httpx.HTTPError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ApiError(f"{self._http.base_url} can't be reached: {reason}") from None
        except httpx.InvalidURL as error:
            raise ApiError(f"{self._http.base_url} is not an address: {error}", status=400) from None
        if answer.is_success:
            return Answer(answer.status_code, _json(answer), answer.headers)
        raise _refusal(answer)


def is_local(url: str) -> bool:
    """Whether an address is one of this machine only."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _json(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise ApiError(f"{answer.url} does not answer as Tasktape does", status=answer.status_code) from None


def _refusal(answer: httpx.Response) -> ApiError:
    """What a problem says, on one line."""
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "unknown", f"the server answers {answer.status_code} {answer.reason_phrase}"
    return ApiError(" ".join(detail.split()), code=code, status=answer.status_code)
