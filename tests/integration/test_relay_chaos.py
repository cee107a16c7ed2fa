"""Relay under random failures: each client ends with exactly its updates, once, in order."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.log.fold import Folded
from app.settings import Settings
from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tasktape_client import Client
from tests.folding import fold_log
from tests.integration.relay_faults import Faults
from tests.integration.relay_readers import PythonReader, Reader, SocketReader, StreamReader
from tests.integration.relay_truth import check_read, check_written, expected_of
from tests.integration.relay_writers import Writer
from tests.integration.stack import Stack
from tests.thoroughness import examples
from tests.truth import check_place, read_whole_log, wait_until_projected
from tests.waiting import eventually

SEED_VARIABLE = "CHAOS_SEED"
FIXED_SEED = "20261127"
STEPS = examples(4)
LIMIT_S = 60.0
OWNER, MEMBER, GUEST = "ann", "bob", "carol"


@pytest.fixture
def chaos_stack(own_kafka: EmbeddedKafka, own_postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(own_kafka.brokers, own_postgres.url, tmp_path)
    stack.migrate()
    yield stack
    stack.stop()


@pytest.mark.parametrize("which", ["fixed", "new"])
async def test_clients_get_their_channels_once_and_in_order_despite_failures(
    chaos_stack: Stack, own_kafka: EmbeddedKafka, own_postgres: EmbeddedPostgres, which: str
) -> None:
    """Cut connections, killed nodes, workers, broker and database, updates that are emitted again."""
    seed = FIXED_SEED if which == "fixed" else os.environ.get(SEED_VARIABLE) or str(random.randrange(10**9))
    faults = Faults(chaos_stack, own_kafka, own_postgres, random.Random(seed))
    try:
        await _tell(chaos_stack, faults, seed)
    except Exception as error:
        error.add_note(f"{SEED_VARIABLE}={seed}: {', '.join(faults.story)}")
        raise


async def _tell(stack: Stack, faults: Faults, seed: str) -> None:
    lists = await _shared(stack)
    urls = stack.urls
    ann, bob, carol = (stack.token(user) for user in (OWNER, MEMBER, GUEST))
    readers: list[Reader] = [
        SocketReader(OWNER, ann, urls[0]),
        StreamReader(OWNER, ann, urls[1]),
        PythonReader(MEMBER, bob, urls[0]),
        PythonReader(MEMBER, bob, urls[1], packed=True, channels=[f"task:{lists['task']}"]),
        SocketReader(GUEST, carol, urls[1]),
        StreamReader(GUEST, carol, urls[0]),
        PythonReader(GUEST, carol, urls[1], packed=True, is_guest=True),
    ]
    theirs = {name: list_id for name, list_id in lists.items() if name != "task"}
    writers = [
        Writer(OWNER, ann, urls[0], theirs, GUEST, seed),
        Writer(MEMBER, bob, urls[1], {"both": lists["both"], "guest": lists["with guest"]}, None, seed),
    ]
    gates = [reader.gate for reader in readers] + [writer.gate for writer in writers]
    async with AsyncExitStack() as busy:
        for reader in readers:
            await busy.enter_async_context(reader)
        for writer in writers:
            await busy.enter_async_context(writer)
        for _ in range(STEPS):
            await faults.step(writers, gates)
        outcome = await _quiet(stack, readers)
    for writer in writers:
        check_written(writer, outcome)
    for reader in readers:
        check_read(reader, outcome)
    await check_place(Settings.from_environment(stack.environment))


async def _shared(stack: Stack) -> dict[str, str]:
    """Return shared lists of the owner, one of them for a later guest; and a task in the one for both."""
    async with Client(stack.urls[0], stack.token(OWNER)) as owner:
        both = (await owner.create_list("For both")).id
        with_guest = (await owner.create_list("With a guest")).id
        for list_id in (both, with_guest):
            await owner.set_member(list_id, MEMBER)
        [inbox] = [each.id async for each in owner.lists() if each.inbox]
        task = await owner.create_task("One that is watched", list_id=both)
    return {"both": both, "with guest": with_guest, "inbox": inbox, "task": task.id}


async def _quiet(stack: Stack, readers: Sequence[Reader]) -> list[Folded]:
    """Wait until everyone has everything, and nothing more arrives; return the fold of the log."""
    settings = Settings.from_environment(stack.environment)
    for reader in readers:
        reader.gate.cuts.clear()
    for _ in range(2):
        for user in (OWNER, MEMBER, GUEST):
            async with Client(stack.urls[0], stack.token(user)) as client:
                await client.create_task("The last")
        await wait_until_projected(settings)
        _, outcome = fold_log(await read_whole_log(settings))
        for reader in readers:
            wanted = expected_of(reader.user, outcome)
            await eventually(
                lambda reader=reader, wanted=wanted: reader.has(wanted),  # type: ignore[misc]
                LIMIT_S,
                f"{reader} did not get all that it had to",
            )
    return outcome
