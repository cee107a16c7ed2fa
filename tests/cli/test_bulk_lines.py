"""Bulk commands from lines: batches, their order and their sending."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from tasktape.cli.bulk_lines import MAX_BATCH_BYTES, MAX_COST, MAX_LINE_BYTES, Line, batches
from tasktape.cli.bulk_pipeline import MAX_IN_FLIGHT, Pipeline
from tasktape_client import Client

CREATE = b'{"command":"create","body":{"title":"x"}}'
DONE = b'{"command":"complete","task_id":"y"}'


async def read(data: bytes, key: str | None = None) -> list[list[Line]]:
    """Return the batches of a file."""
    source, sink = os.pipe()

    def write() -> None:
        with os.fdopen(sink, "wb") as file:
            file.write(data)

    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        return [batch async for batch in batches(source, key)]
    finally:
        await writing
        os.close(source)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "this line is not JSON: line 1, column 2: Expecting property name"),
        (b"[]", "this line is not a JSON object"),
        (b"\xff", "this line is not UTF-8"),
        (b'{"command":"create","command":"delete"}', "this line names 'command' twice"),
        (b'{"body":{"title":"a","title":"b"}}', "this line names 'title' twice"),
        (b'{"if_match":NaN}', "this line holds NaN"),
        (b'{"if_match":1e400}', "this line holds a number that is too large"),
        (b'{"body":{"title":"\\ud800"}}', "this line holds half of a surrogate pair"),
        (b'{"\\udfff":1}', "this line holds half of a surrogate pair"),
        (b"[" * 100_000, "this line is nested more than 32 deep"),
        (b'{"body":' + b"[" * 30 + b"]" * 30 + b"}", "this line is nested more than 30 deep"),
        (b'{"n":' + b"9" * 5_000 + b"}", "this line holds a number that is too long"),
        (b"x" * (MAX_LINE_BYTES + 1), "this line is longer than 1,000,000 bytes"),
        (b"x" * 3 * MAX_LINE_BYTES, "this line is longer than 1,000,000 bytes"),
    ],
)
async def test_invalid_line_is_reported_by_its_number(line: bytes, error: str) -> None:
    """The other lines are commands all the same."""
    found = [each for batch in await read(b"\n".join((CREATE, b"", line, CREATE))) for each in batch]
    assert [each.number for each in found] == [1, 3, 4]
    assert found[1].error.startswith(error)
    assert found[1].command is None
    assert found[0].command == found[2].command == {"command": "create", "body": {"title": "x"}}


async def test_valid_lines_of_any_form_are_commands() -> None:
    """At the maximum depth, with a byte order mark, and with line ends of Windows."""
    deep = b'{"body":' + b"[" * 29 + b"]" * 29 + b"}"
    paired = b'{"body":{"title":"\\ud83d\\ude00"}}'
    file = b"\xef\xbb\xbf" + CREATE + b"\r\n" + deep + b"\r\n" + paired
    found = [each for batch in await read(file) for each in batch]
    assert [each.error for each in found] == ["", "", ""]
    assert found[2].command == {"body": {"title": "\U0001f600"}}


async def test_batch_fits_one_request() -> None:
    """In number and in size; slow commands count for more."""
    found = await read((CREATE + b"\n") * 1_100)
    assert sum(map(len, found)) == 1_100
    assert max(map(len, found)) <= MAX_COST
    assert max(map(len, await read((DONE + b"\n") * 300))) <= MAX_COST // 5
    long = b'{"command":"create","body":{"title":"%s"}}\n' % (b"x" * 50_000)
    assert all(sum(each.size_bytes for each in batch) <= MAX_BATCH_BYTES for batch in await read(long * 12))


async def test_lines_have_keys_independent_of_batches() -> None:
    """From the name of the run; a given key stays."""
    found = [each for batch in await read(CREATE + b"\n\n" + b'{"key":"mine"}', "run") for each in batch]
    assert [(each.command or {}).get("key") for each in found] == ["run:1", "mine"]


class Slow:
    """A server that answers when a test lets it."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.order: list[str] = []
        self.met = asyncio.Event()

    async def bulk(self, commands: list[dict[str, Any]]) -> list[str]:
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append(commands[0]["name"])
        if len(self.order) > 1:
            # Answered as soon as others are on their way, which nobody waits for but once.
            self.met.set() if self.running > 1 else await asyncio.wait(
                {asyncio.create_task(self.met.wait())}, timeout=1
            )
        self.running -= 1
        return [command["name"] for command in commands]


async def results(*names: str) -> tuple[list[str], Slow]:
    async def source() -> AsyncIterator[list[Line]]:
        for number, name in enumerate(names):
            kind = "create" if name.startswith("c") else "complete"
            yield [Line(number, 1, {"command": kind, "name": name}), Line(number, 0, error="none")]

    server = Slow()
    async with Pipeline(cast("Client", server)) as pipeline:
        found = [str(outcomes[0]) async for _, outcomes in pipeline.results(source())]
    return found, server


async def test_creations_are_sent_concurrently_and_reported_in_order() -> None:
    """The first one alone; then some at a time, whichever is answered first."""
    names = [f"c{number}" for number in range(6)]
    found, server = await results(*names)
    assert found == server.order == names
    assert 1 < server.most <= MAX_IN_FLIGHT


async def test_other_commands_are_sent_one_after_the_other() -> None:
    """Their tasks may be parts of each other."""
    names = ["e0", "e1", "c2", "e3", "c4"]
    found, server = await results(*names)
    assert found == names == server.order
    assert server.most == 1


async def test_empty_file_has_no_batch() -> None:
    """Nothing is sent."""
    assert await read(b"") == []
    assert (await results())[0] == []
