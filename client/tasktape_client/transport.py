"""HTTP requests, retried after temporary failures, and with a new token if one is needed."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasktape_client.errors import TasktapeError
from tasktape_client.patience import Patience
from tasktape_client.tokens import TokenSource

PASSING = frozenset({429, 502, 503, 504})
"""The statuses of a busy or restarting server."""
TIMEOUT_S = 90.0
"""The timeout of a response, longer than any wait that is asked of the server."""
KEEP_ALIVE_S = 3.0
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `again` are the headers of retries, if they differ from those of the first attempt."""

    method: str
    path: str
    params: Mapping[str, Any] | list[tuple[str, Any]] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] | None = None
    again: Mapping[str, str] | None = None
    accepted: frozenset[int] = frozenset()
    """Further statuses that are not errors."""
    is_json: bool = True
    """False if the body of the response is passed on as bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, with its body parsed as JSON unless it is passed on as bytes; None without a body."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Download:
    """A response whose content is received part by part."""

    headers: Mapping[str, str]
    chunks: AsyncIterable[bytes]


class Transport:
    """A sender of calls to one server."""

    def __init__(
        self,
        url: str,
        tokens: TokenSource,
        patience: Patience,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self._tokens = tokens
        self._patience = patience
        self._answered = False
        try:
            self._http = httpx.AsyncClient(
                base_url=url,
                headers={"Accept": "application/json"},
                timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                transport=transport,
                # A proxy of the environment cannot reach a server on this machine.
                trust_env=not is_local(url),
                verify=certificates_for(url),
                # The server closes connections that are idle for 5 s. The client does so earlier.
                limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_S),
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
            reason = f"the environment names a proxy or certificates that cannot be used: {error}"
            raise TasktapeError(reason) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call) -> Answer:
        """Send a call, with retries, and return the response. Raise `TasktapeError`."""
        started, tries = time.monotonic(), 0
        while True:
            try:
                return await self._once(call, repeated=tries > 0)
            except TasktapeError as error:
                if error.status is not None and error.status not in PASSING:
                    raise
                tries += 1
                delay_s = self._patience.delay_s(tries, error.retry_after_s or 0.0)
                limit_s = self._patience.limit_s if self._answered else self._patience.unanswered_s
                if time.monotonic() + delay_s > started + limit_s:
                    raise
            await asyncio.sleep(delay_s)

    async def _once(self, call: Call, *, repeated: bool) -> Answer:
        token = await self._tokens.current()
        answer = await self._request(call, token, repeated=repeated)
        if answer.status_code == 401 and self._tokens.can_renew:
            newer = await self._tokens.newer_than(token)
            answer = await self._request(call, newer, repeated=repeated)
        if answer.is_success or answer.status_code in call.accepted:
            body = _json(answer) if call.is_json else answer.content
            return Answer(answer.status_code, body, answer.headers)
        raise _refusal(answer)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncGenerator[AsyncIterable[bytes]]:
        """Open a response that does not end by itself, and provide its parts. Raise `TasktapeError`."""
        async with self.download(call) as answer:
            yield answer.chunks

    @asynccontextmanager
    async def download(self, call: Call) -> AsyncGenerator[Download]:
        """Send a call once, and provide the response while it is received. Raise `TasktapeError`."""
        token = await self._tokens.current()
        answer = await self._open(call, token)
        try:
            if answer.status_code == 401 and self._tokens.can_renew:
                await answer.aclose()
                answer = await self._open(call, await self._tokens.newer_than(token))
            if not answer.is_success:
                await answer.aread()
                raise _refusal(answer)
            self._answered = True
            yield Download(answer.headers, answer.aiter_bytes())
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            await answer.aclose()

    async def _open(self, call: Call, token: str) -> httpx.Response:
        headers = {**(call.headers or {}), "Authorization": f"Bearer {token}"}
        request = self._http.build_request(call.method, call.path, params=call.params, headers=headers)
        try:
            return await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: httpx.HTTPError) -> TasktapeError:
        reason = str(error).strip() or type(error).__name__
        return TasktapeError(f"{self.url} cannot be reached: {reason}")

    async def _request(self, call: Call, token: str, *, repeated: bool) -> httpx.Response:
        headers = call.again if repeated and call.again is not None else call.headers
        try:
            answer = await self._http.request(
                call.method,
                call.path,
                params=call.params,
                content=call.content,
                headers={**(headers or {}), "Authorization": f"Bearer {token}"},
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        self._answered = True
        return answer


def address(url: str) -> str:
    """Return an address without a trailing slash. Raise `ValueError` if it is invalid."""
    try:
        httpx.URL(url)
        parsed = urlsplit(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"{url!r} is not an address: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.hostname:
        raise ValueError(f"{url!r} is not an address: it has to begin with http:// or https://")
    return url.rstrip("/")


def certificates_for(url: str) -> ssl.SSLContext | bool:
    """Return what is trusted: nothing without TLS on this machine, since reading all certificates is slow."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_local(url) and url.startswith("http:") else True


def is_local(url: str) -> bool:
    """Return True for an address of the loopback interface."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _json(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise foreign(answer.url, answer.status_code) from None


def foreign(url: object, status: int | None = None) -> TasktapeError:
    """Return the error for a response that is not one of Tasktape's."""
    return TasktapeError(f"{url} does not answer as Tasktape does", code="foreign", status=status or 200)


def _refusal(answer: httpx.Response) -> TasktapeError:
    """Return the error for a problem response."""
    try:
        problem = answer.json()
        code, detail = str(problem.get("code", "unknown")), str(problem["detail"])
    except (ValueError, KeyError, AttributeError):
        problem, code = None, "unknown"
        detail = f"the server answers {answer.status_code} {answer.reason_phrase}"
    return TasktapeError(
        detail,
        code=code,
        status=answer.status_code,
        problem=problem,
        retry_after_s=_retry_after_s(answer.headers.get("retry-after")),
    )


def _retry_after_s(header: str | None) -> float | None:
    """Parse `Retry-After`, a number of seconds or a date (RFC 9110). Return seconds."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
