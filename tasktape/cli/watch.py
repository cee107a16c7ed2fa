"""The verb `watch`: what happens, as it happens."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tasktape.cli.client import printable
from tasktape.cli.connection import Connection, connection_options, find_connection
from tasktape.cli.options import json_option
from tasktape.cli.tasks import event_line
from tasktape.http import is_local

SUBPROTOCOL = "tasktape.v1.json"
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
OPEN_TIMEOUT_S = 10.0
SILENCE_S = 60.0
"""The server pings more often than that: a longer silence means that the connection is dead."""
MAX_FRAME_BYTES = 16 * 1_048_576
TERMINAL_CODES = range(4500, 5000)


class Ended(Exception):
    """The server sent us away for good; the message is one line."""


@click.command(epilog="Example: tasktape watch --json | jq .event.type")
@click.option("--count", type=click.IntRange(1), help="End after so many updates.")
@json_option
@connection_options
def watch(count: int | None, url: str | None, token: str | None, data: Path | None, *, as_json: bool) -> None:
    """Print what happens in your lists, as it happens, until Ctrl-C.

    A connection that breaks is made again, and what was missed meanwhile is printed too.
    """

    def show(message: dict[str, Any]) -> None:
        click.echo(json.dumps(message) if as_json else _text(message))

    try:
        asyncio.run(_watch(lambda: find_connection(url, token, data), show, count))
    except KeyboardInterrupt:
        sys.exit(0)
    except Ended as error:
        raise click.ClickException(str(error)) from None


def _text(message: dict[str, Any]) -> str:
    """An update on one line: the event, and which task or list it is about."""
    subject = message["task"] or message["list"] or {}
    name = subject.get("title") or subject.get("name") or message["event"]["stream"]
    return f"{event_line(message['event'], message['changes'])}  [{printable(name)}]"


@dataclass(slots=True)
class Progress:
    """How far we are, so that a new connection goes on from there.

    The positions of a reply count once the missed updates that it announces have come.
    """

    positions: dict[str, int] | None = None
    announced: dict[str, int] = field(default_factory=dict)
    missing: int = 0

    def take_reply(self, positions: dict[str, int], missed: int) -> None:
        """Take the answer to `authenticate`."""
        if self.positions is None:
            self.positions = {}
        self.announced, self.missing = dict(positions), missed
        self._settle()

    def take_update(self, position: str) -> None:
        """Take an update's position."""
        partition, _, offset = position.partition(":")
        self._advance(partition, int(offset))
        if self.missing:
            self.missing -= 1
            self._settle()

    def _settle(self) -> None:
        if self.missing == 0:
            for partition, offset in self.announced.items():
                self._advance(partition, offset)
            self.announced = {}

    def _advance(self, partition: str, offset: int) -> None:
        assert self.positions is not None
        self.positions[partition] = max(offset, self.positions.get(partition, -1))


async def _watch(
    connection: Callable[[], Connection], show: Callable[[dict[str, Any]], None], count: int | None
) -> None:
    """Print updates over one connection after another. Raises `Ended`."""
    progress, delay_s, shown = Progress(), FIRST_DELAY_S, 0
    while True:
        async for message in _updates(connection(), progress):
            show(message)
            shown += 1
            delay_s = FIRST_DELAY_S
            if shown == count:
                return
        if progress.positions is None and delay_s >= LONGEST_DELAY_S:
            raise Ended("the server can't be reached")
        await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311
        delay_s = min(delay_s * 2, LONGEST_DELAY_S)


async def _updates(connection: Connection, progress: Progress) -> AsyncIterator[dict[str, Any]]:
    """The updates of one connection, until it breaks. Raises `Ended` if there is no use in another."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

    address = connection.url.replace("http", "ws", 1) + "/ws"
    try:
        async with connect(
            address,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=None,
            max_size=MAX_FRAME_BYTES,
            proxy=None if is_local(connection.url) else True,
        ) as socket:
            hello = {"id": 1, "type": "authenticate", "token": connection.token}
            if progress.positions is not None:
                hello["since"] = progress.positions
            await socket.send(json.dumps(hello))
            while True:
                async with asyncio.timeout(SILENCE_S):
                    message = json.loads(await socket.recv())
                match message["type"]:
                    case "update":
                        progress.take_update(message["position"])
                        yield message
                    case "ping":
                        await socket.send('{"type":"pong"}')
                    case "authenticated":
                        _say(f"Watching {connection.url} as {message['user']}; Ctrl-C ends")
                        progress.take_reply(message["positions"], message.get("missed", 0))
                    case "resync":
                        _say("Too much was missed to tell: what follows is new")
                    case "error":
                        _say(f"The server says: {message['message']}")
    except InvalidURI:
        raise Ended(f"{connection.url} is not an address") from None
    except ConnectionClosed as error:
        closed = error.rcvd
        if closed is not None and closed.code in TERMINAL_CODES:
            raise Ended(closed.reason or f"the server closed the connection ({closed.code})") from None
        _say("The connection broke; trying again")
    except (OSError, TimeoutError, InvalidHandshake) as error:
        _say(f"{connection.url} can't be reached ({type(error).__name__}); trying again")


def _say(line: str) -> None:
    """Say something beside the updates, to a person only."""
    if sys.stderr.isatty():
        click.echo(printable(line), err=True)
