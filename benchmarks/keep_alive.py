"""HTTP over persistent connections, with as little of the client's own time as possible."""

from __future__ import annotations

import asyncio
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json


class KeepAlive:
    """A few connections to one server; a request takes a free one, or waits for one."""

    def __init__(self, url: str, token: str, connections: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._connections = connections
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        for _ in range(self._connections):
            reader, writer = await asyncio.open_connection(self._host, self._port)
            self._writers.append(writer)
            self._free.put_nowait((reader, writer))
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.close()

    async def send(self, method: str, path: str, body: object) -> Any:
        """Return the answer to a request as JSON. Raise `RuntimeError` unless it is 200 or 201."""
        content = to_json(body)
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Type: application/json\r\n"
        reader, writer = await self._free.get()
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer.partition("content-length:")[2].partition("\r\n")[0])
        text = await reader.readexactly(length)
        self._free.put_nowait((reader, writer))
        if answer.split(" ", 2)[1] not in {"200", "201"}:
            raise RuntimeError(f"{method} {path}: {answer.splitlines()[0]} {text.decode()[:300]}")
        return from_json(text)
