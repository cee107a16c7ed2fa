"""A stack whose parts may all be killed, and a random schedule of doing so."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

from app.settings import Settings
from projections.generations.opening import open_database
from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tests.integration.gate import Gate
from tests.integration.relay_writers import Writer
from tests.integration.stack import Part, Stack
from tests.ports import free_port

WORKERS = 2
NODES = 2
ORDER = ("a node", "workers", "broker", "database")
"""Parts in the order of their end, and the reverse of their start."""
STOPPING_WRITES = frozenset({"workers", "broker", "database"})


class Faults:
    """Injects faults into a stack."""

    def __init__(
        self, stack: Stack, kafka: EmbeddedKafka, postgres: EmbeddedPostgres, chance: random.Random
    ) -> None:
        self._stack = stack
        self._kafka = kafka
        self._postgres = postgres
        self._chance = chance
        self._workers = [stack.start_worker(slot) for slot in range(WORKERS)]
        self._ports = [free_port() for _ in range(NODES)]
        self._nodes = [stack.start_api(port) for port in self._ports]
        self._down: set[str] = set()
        self._began_s = monotonic()
        self.story: list[str] = []

    async def step(self, writers: Sequence[Writer], gates: Sequence[Gate]) -> None:
        """Inject some faults during writes, repair them, and return when everything was written."""
        chance = self._chance
        for writer in writers:
            writer.allow(chance.randint(5, 25))
        self._trouble(gates)
        chosen = set(chance.sample(ORDER, chance.choice([0, 1, 1, 2])))
        async with AsyncExitStack() as faults:
            for name in ORDER:
                if name in chosen:
                    await faults.enter_async_context(self._faulty(name))
                    self._trouble(gates)
            self._lead_on(writer.gate for writer in writers)
            if not chosen & STOPPING_WRITES:
                await asyncio.gather(*(writer.reach(0.5) for writer in writers))
        await asyncio.gather(*(writer.reach() for writer in writers))
        self._note("all written")

    def _lead_on(self, gates: Iterable[Gate]) -> None:
        """Route connections to a node that is up."""
        up = next(url for url in self._stack.urls if url not in self._down)
        for gate in gates:
            if gate.target in self._down:
                gate.target = up

    def _trouble(self, gates: Sequence[Gate]) -> None:
        """Route some connections elsewhere, and cut some, now or in the middle of a transfer."""
        for gate in gates:
            dice = self._chance.random()
            if dice < 0.3:
                gate.target = self._chance.choice(self._stack.urls)
            if dice < 0.15 or 0.3 <= dice < 0.4:
                gate.cut()
            if dice > 0.5:
                gate.cuts.extend(self._chance.choice([300, 2_000, 20_000, 90_000]) for _ in range(2))
        self._note("trouble")

    def _note(self, what: str) -> None:
        self.story.append(f"{monotonic() - self._began_s:.0f} s {what}")

    @asynccontextmanager
    async def _faulty(self, name: str) -> AsyncIterator[None]:
        self._note(name)
        match name:
            case "a node":
                fault = self._without_a_node()
            case "workers":
                fault = self._without_workers()
            case "broker":
                fault = self._without_broker()
            case _:
                fault = self._without_database()
        async with fault:
            yield
        self._note(f"{name} mended")

    @asynccontextmanager
    async def _without_a_node(self) -> AsyncIterator[None]:
        number = self._chance.randrange(NODES)
        await self._end(self._nodes[number])
        self._down = {self._stack.urls[number]}
        yield
        self._nodes[number] = await asyncio.to_thread(self._stack.start_api, self._ports[number])
        self._down = set()

    @asynccontextmanager
    async def _without_workers(self) -> AsyncIterator[None]:
        """Run without one of the workers; or without any, and then emit updates again."""
        slots = self._chance.sample(range(WORKERS), self._chance.choice([1, WORKERS]))
        for slot in slots:
            await self._end(self._workers[slot])
        if len(slots) == WORKERS:
            await self._forget_emitted(self._chance.choice([1, 20, 1_000]))
        yield
        starts = (asyncio.to_thread(self._stack.start_worker, slot) for slot in slots)
        for slot, part in zip(slots, await asyncio.gather(*starts), strict=True):
            self._workers[slot] = part

    async def _forget_emitted(self, count: int) -> None:
        """Mark the last `count` updates of each partition as not emitted."""
        settings = Settings.from_environment(self._stack.environment)
        database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
        await database.pool.execute(
            "UPDATE checkpoints SET emitted_offset = greatest(0, emitted_offset - $1)", count
        )
        await database.close()

    @asynccontextmanager
    async def _without_broker(self) -> AsyncIterator[None]:
        os.kill(self._kafka.pid, signal.SIGKILL)
        await asyncio.to_thread(self._kafka.stop)
        yield
        await asyncio.to_thread(self._kafka.start)

    @asynccontextmanager
    async def _without_database(self) -> AsyncIterator[None]:
        os.kill(self._postgres.pid, signal.SIGKILL)
        await asyncio.to_thread(self._postgres.stop)
        yield
        await asyncio.to_thread(self._postgres.start)

    async def _end(self, part: Part) -> None:
        """Kill it, or tell it to stop."""
        await asyncio.to_thread(part.kill if self._chance.random() < 0.6 else part.stop)
