"""Replays through the command line: lines, JSON, a board in a terminal, and another topic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tests.integration.shell import Shell
from tests.integration.stack import Stack
from tests.integration.terminal import shown_in_terminal
from tests.integration.test_replay_live import imported

FULL = ("--speed", "max")
LIMIT_S = 30.0


@pytest.fixture
async def shell(running_stack: Stack, tmp_path: Path) -> AsyncIterator[Shell]:
    """Yield the command line of a user with an imported list, which can reach Kafka."""
    shell = Shell(running_stack, tmp_path)
    shell.environment |= {
        name: value
        for name, value in running_stack.environment.items()
        if name.startswith(("KAFKA_", "DATABASE_", "TASKTAPE_EVENTS", "TASKTAPE_UPDATES", "TASKTAPE_SIGNALS"))
    }
    async with running_stack.client(shell.user) as client:
        shell.environment["LIST"] = await imported(client)
        yield shell


async def test_lines_without_a_terminal(shell: Shell) -> None:
    first, *lines, last = (await shell.works("replay", "--list", "Incidents", *FULL)).splitlines()
    assert first.endswith("Z  0 tasks")
    assert [line.split("  ")[2] for line in lines] == [
        *["task.created"] * 3,
        *["task.edited"] * 3,
        *["task.completed"] * 3,
        "list.created",
    ]
    assert lines[3].startswith("2013-01-01T00:01:00Z  bob  task.edited")
    assert lines[3].endswith("[edited 0]")
    assert last.endswith("the end")


async def test_json_is_that_of_the_socket(shell: Shell) -> None:
    part = ("--from", "2013-01-01T00:00:01Z", "--to", "2013-01-01T00:01:00Z", "--type", "task.edited")
    out = await shell.works("replay", "--list", shell.environment["LIST"], *part, *FULL, "--json")
    snapshot, playing, update, ended = map(json.loads, out.splitlines())
    assert [task["title"] for task in snapshot["tasks"]] == ["task 0", "task 1"]
    assert (playing["state"], playing["speed"]) == ("playing", 1e9)
    assert (update["type"], update["at"]) == ("update", "2013-01-01T00:01:00Z")
    assert (ended["state"], ended["at"]) == ("ended", "2013-01-01T00:01:00Z")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--list", "Nothing"), 1, "no list called Nothing"),
        (("--list", str(uuid4())), 1, "no such list"),
        (("--list", "Incidents", "--speed", "0x"), 2, "is not a speed"),
        (("--list", "Incidents", "--type", "task.flown"), 1, "no event type task.flown"),
        (("--list", "Incidents", "--from", "2026-01-02T00:00Z", "--to", "2026-01-01T00:00Z"), 1, "after to"),
        (("--list", "Incidents", "--from", "soon"), 1, "replay.from"),
        (("--list", "Incidents", "--to-topic", "a/b"), 1, "not the name of a topic"),
        (("--list", "Incidents", "--to-topic", "__consumer_offsets"), 1, "belongs to"),
        (("--list", "Incidents", "--to-topic", "EVENTS"), 1, "belongs to"),
        (("--list", "Incidents", "--to-topic", "UPDATES"), 1, "belongs to"),
        ((), 2, "--list"),
    ],
)
async def test_bad_input_is_one_line(
    shell: Shell, running_stack: Stack, arguments: tuple[str, ...], status: int, message: str
) -> None:
    own = {name: running_stack.environment[f"TASKTAPE_{name}_TOPIC"] for name in ("EVENTS", "UPDATES")}
    given = [own.get(each, each) for each in arguments]
    assert message in await shell.fails("replay", *given, status=status)


async def test_board_moves_in_a_terminal(shell: Shell) -> None:
    """It fits the terminal, and the last one stays."""
    output = await shown_in_terminal("replay", "--list", "Incidents", *FULL, environment=shell.environment)
    assert "Incidents" in output
    assert "10 events" in output
    assert "Done (3)" in output
    assert "edited 2" in output


async def test_records_are_copied_into_another_topic(shell: Shell, running_stack: Stack) -> None:
    """With their keys, values, headers and times, in the order of the replay; nothing else changes."""
    topic = f"copy-{uuid4().hex[:8]}"
    log = await records(running_stack, running_stack.environment["TASKTAPE_EVENTS_TOPIC"])
    for _ in range(2):
        done = await shell.json("replay", "--list", "Incidents", *FULL, "--to-topic", topic)
        assert done == {"topic": topic, "records": 10}
    copies = await records(running_stack, topic)
    assert len(copies) == 20
    by_id = {dict(each.headers).get("ce_id"): each for each in log}  # Other tests write foreign records.
    for copy in copies:
        original = by_id[dict(copy.headers)["ce_id"]]
        assert (copy.key, copy.value, copy.headers) == (original.key, original.value, original.headers)
        assert (copy.partition, copy.timestamp) == (original.partition, original.timestamp)
    for partition in {copy.partition for copy in copies}:
        times = [dict(each.headers)["ce_time"] for each in copies if each.partition == partition]
        assert times == sorted(times[: len(times) // 2]) * 2
    after = await records(running_stack, running_stack.environment["TASKTAPE_EVENTS_TOPIC"])
    keys = {copy.key for copy in copies}
    assert sum(each.key in keys for each in after) == sum(each.key in keys for each in log) == 10


async def records(stack: Stack, topic: str) -> list[ConsumerRecord]:
    """Return all records of a topic, partition by partition."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=stack.brokers, group_id=None, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
        found: list[Any] = []
        async with asyncio.timeout(LIMIT_S):
            while len(found) < sum(ends.values()):
                for messages in (await consumer.getmany(timeout_ms=500)).values():
                    found += messages
        return sorted(found, key=lambda each: (each.partition, each.offset))
    finally:
        await consumer.stop()
