"""Random concurrent commands on two nodes, with kills and a foreign writer, after which the rules must hold.

`python -m tests.structure_races --seconds 3600` runs for that long with new seeds; the tests run a few.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from app.lists.events import MemberRemoved
from app.lists.state import TaskList
from app.log.records import Event, Record
from app.settings import Settings
from app.stream_ids import StreamId
from app.structure.rules import Violation, violations
from app.tasks.events import (
    Series,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReopened,
)
from app.tasks.state import Task
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries.structure import Candidates, StructureQueries
from streams.event_log import KafkaEventLog
from tests.integration.stack import Stack
from tests.truth import check_place, wait_until_projected
from tests.waiting import eventually

STAGES = [
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
]
OTHER_STAGES = [{"name": "New", "category": "open"}, *STAGES[1:]]
USERS = ("ann", "bob")
QUIET_LIMIT_S = 30.0
COMMANDS = 24
"""So many commands at once in a burst."""
HOT_TASKS = 5
BURSTS = 6
STORMS = 12
"""So many storms on one stack."""
REFUSED = {400, 403, 404, 409, 412, 422}
UNCERTAIN = {202, 503}


@dataclass
class Races:
    """One storm of commands on a stack, by a seed."""

    stack: Stack
    settings: Settings
    chance: random.Random
    with_foreign: bool
    lists: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)

    async def run(self, *, kills: bool) -> float:
        """Run the storm, then wait until it is quiet, and return the seconds until the rules hold."""
        async with self._clients() as clients:
            await self._set_up(clients)
            for burst in range(BURSTS):
                victim = self.chance.choice(["worker", "api", "none"]) if kills else "none"
                # A few of the tasks and one of the lists, so that the commands meet.
                hot = self.chance.sample(self.tasks, HOT_TASKS), self.chance.sample(self.lists, 2)
                commands = [self._command(clients, *hot) for _ in range(COMMANDS)]
                if self.with_foreign and self.chance.random() < 0.4:
                    commands.append(self._foreign())
                storm = asyncio.gather(*commands)
                if victim != "none":
                    await self._kill(victim)
                await storm
                self.story.append(f"burst {burst}: {victim}")
        return await self._settled()

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[list[tuple[str, httpx.AsyncClient]]]:
        async with (
            self.stack.client("ann", 0) as ann,
            self.stack.client("ann", 1) as ann_elsewhere,
            self.stack.client("bob", 0) as bob_elsewhere,
            self.stack.client("bob", 1) as bob,
        ):
            yield [("ann", ann), ("ann", ann_elsewhere), ("bob", bob_elsewhere), ("bob", bob)]

    async def _set_up(self, clients: Sequence[tuple[str, httpx.AsyncClient]]) -> None:
        ann = clients[0][1]
        for name, stages in (("A", STAGES), ("B", []), ("C", STAGES)):
            made = await ann.post("/api/lists", json={"name": name, "stages": stages})
            self.lists.append(_checked(made)["id"])
            _checked(await ann.put(f"/api/lists/{self.lists[-1]}/members/bob", json={"role": "owner"}))
        for number in range(10):
            body: dict[str, Any] = {"title": f"task {number}", "list_id": self.chance.choice(self.lists)}
            if number % 4 == 0:
                body |= {"due": "2026-12-01", "recurrence": "FREQ=DAILY"}
            self.tasks.append(_checked(await ann.post("/api/tasks", json=body))["id"])

    # --- commands ------------------------------------------------------------------------------------------

    async def _command(
        self, clients: Sequence[tuple[str, httpx.AsyncClient]], tasks: Sequence[str], lists: Sequence[str]
    ) -> None:
        chance = self.chance
        user, client = chance.choice(clients)
        task, other, home = chance.choice(tasks), chance.choice(tasks), chance.choice(lists)
        path, cascade = f"/api/tasks/{task}", chance.choice(["", "?cascade=true"])
        member = f"/api/lists/{home}/members/{chance.choice(USERS)}"
        stage = chance.choice(STAGES)["name"]
        asked = chance.choice(
            [
                *[("PATCH", path, {"parent_id": other})] * 4,
                *[("POST", "/api/tasks", {"title": "new", "parent_id": other})] * 3,
                ("POST", "/api/tasks", {"title": "new", "list_id": home}),
                *[("POST", f"{path}/complete{cascade}", {})] * 3,
                *[("POST", f"{path}/reopen", {})] * 2,
                *[("DELETE", f"{path}{cascade}", None)] * 2,
                *[("POST", f"{path}/restore{cascade}", {})] * 2,
                *[("POST", f"{path}/move", {"list_id": home})] * 3,
                ("POST", f"{path}/move", {"stage": stage}),
                ("PATCH", path, {"stage": stage}),
                *[("POST", f"{path}/undo", {})] * 3,
                ("POST", f"{path}/skip", {}),
                ("PATCH", path, {"assignees": [chance.choice(USERS)]}),
                ("POST", f"{path}/comments", {"text": "@ann @bob look"}),
                ("PATCH", f"/api/lists/{home}", {"stages": chance.choice([STAGES, OTHER_STAGES, None])}),
                *[("DELETE", f"/api/lists/{home}", None)] * (chance.random() < 0.3),
                *[("POST", f"/api/lists/{home}/restore", {})] * 3,
                *[("DELETE", member, None)] * (chance.random() < 0.5),
                *[("PUT", member, {"role": chance.choice(["owner", "editor"])})] * 2,
                ("POST", f"/api/lists/{home}/hand-over", {"to": chance.choice(USERS)}),
            ]
        )
        headers = {"Idempotency-Key": uuid4().hex}
        if chance.random() < 0.1:
            headers["Prefer"] = "respond-async"
        await self._send(client, user, *asked, headers=headers)

    async def _send(
        self,
        client: httpx.AsyncClient,
        user: str,
        method: str,
        path: str,
        body: object,
        headers: dict[str, str],
    ) -> None:
        try:
            answer = await client.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return
        self.answers[str(answer.status_code)] += 1
        self.story.append(f"{user} {method} {path} {body}: {answer.status_code}")
        assert answer.is_success or answer.status_code in REFUSED | UNCERTAIN, (path, answer.text)
        if answer.status_code in (200, 201) and method == "POST" and path == "/api/tasks":
            self.tasks.append(answer.json()["id"])
        if answer.is_success and answer.status_code != 202:
            self.acknowledged.append(answer.headers.get("tasktape-position", ""))

    async def _foreign(self) -> None:
        """Append events that no command makes, as another program might."""
        database = await open_database(self.settings.database_url, self.settings.schema_name, pool_size=1)
        log = KafkaEventLog(self.settings.kafka_brokers, self.settings.events_topic, self.settings.partitions)
        try:
            await log.start()
            state = await StructureQueries(database).state(Candidates(set(self.tasks), set(self.lists)))
            for _ in range(3):
                await self._foreign_event(log, list(state.tasks.values()), list(state.lists.values()))
        finally:
            await log.close()
            await database.close()

    async def _foreign_event(
        self, log: KafkaEventLog, tasks: Sequence[Task], lists: Sequence[TaskList]
    ) -> None:
        chance = self.chance
        task, other, home = chance.choice(tasks), chance.choice(tasks), chance.choice(lists)
        events: list[Event] = [
            TaskEdited({"parent_id": other.id}),
            TaskEdited({"parent_id": task.id}),
            TaskEdited({"stage": "nowhere"}),
            TaskMoved(home.id),
            TaskMoved(str(uuid4())),
            TaskCompleted(),
            TaskReopened(),
            TaskDeleted(),
        ]
        event = chance.choice(events)
        stream, version = f"task:{task.id}", task.version + 1
        if chance.random() < 0.2 and home.members:
            event, stream, version = (
                MemberRemoved(next(iter(home.members))),
                f"list:{home.id}",
                home.version + 1,
            )
        elif chance.random() < 0.2:
            identifier, series = str(uuid4()), Series(task.id, 1, "2026-12-01")
            event = TaskCreated(
                home.id, "twice", due="2026-12-01", recurrence="FREQ=DAILY", series=series, parent_id=other.id
            )
            stream, version = f"task:{identifier}", 1
            self.tasks.append(identifier)
        self.story.append(f"foreign {event.type} {event} on {stream}")
        await log.append([_foreign_record(stream, version, event, task)])

    async def _kill(self, kind: str) -> None:
        parts = [
            part for part in self.stack.parts if part.name.startswith(kind) and part.process.poll() is None
        ]
        if not parts:
            return
        part = self.chance.choice(parts)
        answered = self.answers.total() + self.chance.randrange(COMMANDS)
        await eventually(lambda: self.answers.total() >= answered)  # somewhere in the midst of the storm
        await asyncio.to_thread(part.kill)
        self.story.append(f"killed {part.name}")
        if kind == "worker":
            await asyncio.to_thread(self.stack.start_worker)
        else:
            await asyncio.to_thread(self.stack.start_api, int(part.name.removeprefix("api-")))

    # --- afterwards ----------------------------------------------------------------------------------------

    async def _settled(self) -> float:
        """Wait until the log is projected and the rules hold, and return the seconds."""
        await wait_until_projected(self.settings)
        database = await open_database(self.settings.database_url, self.settings.schema_name, pool_size=2)
        started_s = time.monotonic()
        found: list[Violation] = []

        async def hold() -> bool:
            found[:] = await broken(database)
            return not found

        try:
            await eventually(hold, QUIET_LIMIT_S)
        except AssertionError as error:
            error.add_note(f"the rules do not hold: {found[:5]}")
            raise
        finally:
            await database.close()
        held_after_s = time.monotonic() - started_s
        await wait_until_projected(self.settings)
        await self._check_acknowledged()
        return held_after_s

    async def _check_acknowledged(self) -> None:
        """Check that read models are the fold of the log, and that acknowledged events are in it."""
        folded = {str(each.raw.position): each.outcome for each in await check_place(self.settings)}
        lost = [
            position
            for positions in self.acknowledged
            for position in positions.split(",")
            if position and position not in folded
        ]
        assert not lost, lost


async def broken(database: Database) -> list[Violation]:
    """Return all violations among all of the tasks and lists."""
    ids = {row["id"] for row in await database.pool.fetch("SELECT id FROM tasks")}
    list_ids = {row["id"] for row in await database.pool.fetch("SELECT id FROM lists")}
    return violations(await StructureQueries(database).state(Candidates(ids, list_ids)))


def _foreign_record(stream: str, version: int, event: Event, task: Task) -> Record:
    return Record(
        id=str(uuid4()),
        stream=StreamId(stream),
        version=version,
        time=task.updated_at,
        actor="ann",
        source="/elsewhere",
        data=event,
    )


def _checked(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


async def race(stack: Stack, seed: int, *, kills: bool, with_foreign: bool) -> tuple[float, Counter[str]]:
    """Run one storm, and return the quiet seconds until the rules held, and the responses by status."""
    settings = Settings.from_environment(stack.environment)
    races = Races(stack, settings, random.Random(seed), with_foreign)
    try:
        return await races.run(kills=kills), races.answers
    except BaseException as error:
        error.add_note("\n".join(races.story))
        error.add_note(f"seed {seed}, kills {kills}, foreign {with_foreign}")
        for part in stack.parts:
            error.add_note(f"{part.name}: {part.tail()}")
        raise


async def _for_seconds(seconds: float, first_seed: int) -> None:
    from tasktape.local.kafka import EmbeddedKafka
    from tasktape.local.postgres import EmbeddedPostgres

    until_s, seed, slowest_s = time.monotonic() + seconds, first_seed, 0.0
    answers: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kafka, postgres = EmbeddedKafka(folder / "kafka"), EmbeddedPostgres(folder / "postgres")
        kafka.start()
        postgres.start()
        try:
            while time.monotonic() < until_s:
                stack = Stack(kafka.brokers, postgres.url, folder)
                stack = replace(stack, overrides={"TASKTAPE_PARTITIONS": str(2 + seed % 3)})
                try:
                    stack.migrate()
                    stack.start_worker()
                    for _ in range(2):
                        stack.start_api()
                    for _ in range(STORMS):
                        held_s, found = await race(
                            stack, seed, kills=seed % 3 == 0, with_foreign=seed % 2 == 0
                        )
                        answers += found
                        slowest_s = max(slowest_s, held_s)
                        _say(f"seed {seed}: held after {held_s:.2f} s of quiet; {dict(found)}")
                        seed += 1
                        if time.monotonic() > until_s:
                            break
                finally:
                    stack.stop()
        finally:
            postgres.stop()
            kafka.stop()
    _say(f"{seed - first_seed} storms, {sum(answers.values())} commands, slowest {slowest_s:.2f} s")
    _say(str(dict(answers)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(_for_seconds(given.seconds, given.seed))
