"""Unreadable records in the log: listed, retried and skipped over HTTP and with the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer

from app.log.event_types import event_types
from app.log.records import EVENT_CLASSES, encode
from app.settings import Settings
from app.tasks.events import TaskEdited
from streams.event_log import KafkaEventLog
from tests.integration.shell import Shell
from tests.integration.stack import Stack
from tests.spec import record_of
from tests.waiting import eventually


async def put(
    stack: Stack,
    key: bytes | None,
    value: bytes,
    partition: int | None = None,
    headers: list[tuple[str, bytes]] | None = None,
) -> str:
    """Append bytes to the log directly, and return their position."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.brokers)
    await producer.start()
    try:
        topic = stack.environment["TASKTAPE_EVENTS_TOPIC"]
        written = await producer.send_and_wait(topic, value, key=key, partition=partition, headers=headers)
    finally:
        await producer.stop()
    return f"{written.partition}:{written.offset}"


async def put_edit(stack: Stack, stream: str, title: str) -> str:
    """Append an edit of a new task to the log directly, and return its position."""
    settings = Settings.from_environment(stack.environment)
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    await log.start()
    try:
        edit = record_of(TaskEdited({"title": title}), 2, id=str(uuid4()), stream=stream)
        [position] = await log.append([edit])
    finally:
        await log.close()
    return str(position)


async def letters(admin: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    answer = await admin.get("/api/dead-letters", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    return {each["position"]: each for each in answer.json()["items"]}


async def test_unreadable_record_holds_its_stream_until_it_is_skipped(running_stack: Stack) -> None:
    """Commands on the stream are refused; after the skip, records of others behind it take effect."""
    async with (
        running_stack.client(f"user-{uuid4().hex[:8]}") as client,
        running_stack.client("operator", admin=True) as admin,
    ):
        task = (await client.post("/api/tasks", json={"title": "Held"})).json()
        path, stream = f"/api/tasks/{task['id']}", f"task:{task['id']}"
        poison = await put(running_stack, stream.encode(), b"not an event")

        async def parked() -> bool:
            return poison in await letters(admin)

        await eventually(parked)
        for headers in ({}, {"Prefer": "respond-async"}):
            refused = await client.patch(path, json={"title": "Refused"}, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
            assert f"waits for the record {poison}" in refused.json()["detail"]
        position = await put_edit(running_stack, stream, "Behind")

        async def parked_behind() -> bool:
            return position in await letters(admin)

        await eventually(parked_behind)
        outcome = (await admin.get(f"/api/outcomes/{position}")).json()
        assert (outcome["outcome"], outcome["waits_for"]) == ("parked", poison)
        assert outcome["event"]["reason"] == f"behind {poison}"
        assert set(await letters(admin)) >= {poison, position}
        ready = (await client.get("/readyz")).json()
        assert (ready["parked"] >= 2, ready["held"] >= 1) == (True, True)
        found = await letters(admin)
        assert (found[poison]["holds"], found[poison]["stream"], found[poison]["attempts"]) == (
            True,
            stream,
            1,
        )
        assert (found[position]["holds"], found[position]["stream"]) == (False, stream)
        assert found[poison]["age_s"] >= 0

        refused = await admin.post(f"/api/dead-letters/{position}/retry")
        assert (refused.status_code, poison in refused.json()["detail"]) == (409, True)

        again = await admin.post(f"/api/dead-letters/{poison}/retry")
        assert (again.status_code, again.json()["appended"]) == (202, 2)

        async def tried_twice() -> bool:
            return [(await letters(admin))[each]["attempts"] for each in (poison, position)] == [2, 2]

        await eventually(tried_twice)
        assert (await client.get(path)).json()["title"] == "Held"

        skipped = await admin.post(f"/api/dead-letters/{poison}/skip")
        assert skipped.status_code == 202
        settled = {"Tasktape-Position": skipped.headers["tasktape-position"]}
        assert (await client.get(path, headers=settled)).json()["title"] == "Behind"
        assert not {poison, position} & set(await letters(admin))
        assert (await client.patch(path, json={"notes": "goes on"})).status_code == 200
        assert (await admin.post(f"/api/dead-letters/{poison}/skip")).status_code == 404


async def test_command_answered_202_before_poison_is_folded_is_parked_and_takes_effect_later(
    running_stack: Stack,
) -> None:
    """Its author sees that at the URL of the response, and nobody else's dead letters."""
    worker = next(each for each in running_stack.parts if each.name.startswith("worker")).process
    async with (
        running_stack.client(f"user-{uuid4().hex[:8]}") as client,
        running_stack.client("operator", admin=True) as admin,
    ):
        task = (await client.post("/api/tasks", json={"title": "Before"})).json()
        path, stream = f"/api/tasks/{task['id']}", f"task:{task['id']}"
        worker.send_signal(signal.SIGSTOP)
        try:
            poison = await put(running_stack, stream.encode(), b"not an event")
            answer = await client.patch(
                path, json={"title": "After"}, headers={"Prefer": "respond-async", "Idempotency-Key": "k"}
            )
            assert answer.status_code == 202
            position, where = answer.json()["position"], answer.headers["location"]
            assert (await client.get(where)).json()["outcome"] == "pending"
        finally:
            worker.send_signal(signal.SIGCONT)

        async def outcome() -> dict[str, Any]:
            answer = await client.get(where)
            assert answer.status_code in {200, 202}, answer.text
            found: dict[str, Any] = answer.json()
            return found

        async def is_known() -> bool:
            return bool((await outcome())["outcome"] != "pending")

        await eventually(is_known)
        found = await outcome()
        assert (found["position"], found["outcome"], found["waits_for"]) == (position, "parked", poison)
        assert found["event"]["reason"] == f"behind {poison}"
        assert (await client.get(path)).json()["title"] == "Before"
        repeated = await client.patch(path, json={"title": "After"}, headers={"Idempotency-Key": "k"})
        assert (repeated.status_code, poison in repeated.json()["detail"]) == (409, True)
        skipped = await admin.post(f"/api/dead-letters/{poison}/skip")
        assert skipped.json()["appended"] == 2

        async def is_settled() -> bool:
            return bool((await outcome())["outcome"] != "parked")

        await eventually(is_settled)
        found = await outcome()
        assert (found["outcome"], found["waits_for"], found["task"]["title"]) == ("accepted", None, "After")
        assert found["position"] != position
        assert (await client.get(path)).json() == found["task"]
        of_the_poison = (await admin.get(f"/api/outcomes/{poison}")).json()
        assert (of_the_poison["outcome"], of_the_poison["waits_for"]) == ("skipped", None)
        repeated = await client.patch(path, json={"title": "After"}, headers={"Idempotency-Key": "k"})
        assert (repeated.status_code, repeated.json()) == (200, found["task"])


async def test_unreadable_record_without_a_stream_is_skipped_from_the_command_line(
    running_stack: Stack, tmp_path: Path
) -> None:
    """It holds nothing; it is listed until it is skipped."""
    shell = Shell(running_stack, tmp_path, "operator", admin=True)
    poison = await put(running_stack, b"\xff\xfe", b"junk", partition=1)

    async def listed() -> bool:
        items = json.loads(await shell.works("dead-letters", "list", "--json"))["items"]
        return any(each["position"] == poison and each["stream"] is None for each in items)

    await eventually(listed)
    assert f"{poison}  alone" in await shell.works("dead-letters", "list")
    assert "1 records" in await shell.works("dead-letters", "skip", poison)

    async def gone() -> bool:
        return not await listed()

    await eventually(gone)
    assert f"no record is parked at {poison}" in await shell.fails("dead-letters", "retry", poison)


async def test_record_of_a_newer_release_is_listed_with_the_hint_to_upgrade(
    running_stack: Stack, tmp_path: Path
) -> None:
    """On the command line and in the API."""
    shell = Shell(running_stack, tmp_path, "operator", admin=True)
    task = str(uuid4())
    key, value, headers = encode(
        record_of(TaskEdited({"title": "t"}), 2, stream=f"task:{task}"),
        event_types(EVENT_CLASSES, {TaskEdited.type: (lambda data: data,) * 6}),
    )
    position = await put(running_stack, key, value, headers=headers)
    hint = (
        "unknown data schema 'urn:tasktape:task.edited:7': the newest known version of task.edited is 1, "
        "so a newer Tasktape wrote the record; upgrade this one, then retry"
    )
    async with running_stack.client("operator", admin=True) as admin:

        async def parked() -> bool:
            return position in await letters(admin)

        await eventually(parked)
        assert (await letters(admin))[position]["reason"] == hint
        lines = (await shell.works("dead-letters", "list")).splitlines()
        assert [line for line in lines if line.startswith(f"{position} ") and line.endswith(hint)]
        assert (await admin.post(f"/api/dead-letters/{position}/skip")).status_code == 202
