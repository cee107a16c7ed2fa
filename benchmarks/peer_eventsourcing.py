"""A peer: the library `eventsourcing` with its PostgreSQL recorders and its own projection runner.

Used as its documentation shows: an application that saves aggregates (here: whole histories, one save each),
and a projection whose view is a tracking recorder that writes a row and the tracking in one transaction.
It has `synchronous_commit=off` too. It emits no updates and keeps no audit beside its log.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier
from pydantic_core import from_json, to_json
from sqlalchemy import make_url

from benchmarks import incidents
from benchmarks.parts import Parts
from projections.postgres.database import asyncpg_dsn
from tasktape.importers.histories import Event, history_of
from tasktape.importers.xes import XesTrace

SCHEMA = "bench_eventsourcing"
LIMIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The number of events, and the events per second."""

    events: int
    appending_per_s: float
    projecting_per_s: float

    @property
    def both_per_s(self) -> float:
        """Return events per second, appended and then projected."""
        return 1 / (1 / self.appending_per_s + 1 / self.projecting_per_s)


def run(parts: Parts, events: int) -> Measured:
    """Append and project some of the incident log's events in a separate process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peer_eventsourcing"],
        env={**os.environ, "DATABASE_URL": parts.database_url, "BENCH_EVENTS": str(events)},
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
        check=True,
    )
    return Measured(**from_json(done.stdout.strip().splitlines()[-1]))


class Task(Aggregate):  # type: ignore[misc]
    """A task as an aggregate of this library."""

    class Created(Aggregate.Created):  # type: ignore[misc]
        """The creation of a task."""

        list_id: str
        title: str
        stage: str | None
        assignees: list[str]
        actor: str
        time: datetime

    class Happened(Aggregate.Event):  # type: ignore[misc]
        """An edit, a completion or a reopening."""

        kind: str
        stage: str | None
        assignees: list[str] | None
        actor: str
        time: datetime

        def apply(self, aggregate: Any) -> None:
            """Set the state after the event."""
            aggregate.stage = self.stage or aggregate.stage
            aggregate.assignees = self.assignees or aggregate.assignees
            aggregate.status = "done" if self.kind == "task.completed" else "open"

    def __init__(
        self,
        *,
        list_id: str,
        title: str,
        stage: str | None,
        assignees: list[str],
        actor: str,
        time: datetime,
    ) -> None:
        self.list_id, self.title, self.stage, self.assignees = list_id, title, stage, assignees
        self.actor, self.time, self.status = actor, time, "open"

    @classmethod
    def of(cls, events: list[Event]) -> Task:
        """Return a task with its whole history."""
        first, *others = events
        data = first["data"]
        task: Task = cls(
            list_id=incidents.LIST_ID,
            title=data["title"],
            stage=data.get("stage"),
            assignees=list(data.get("assignees", ())),
            actor=first["actor"],
            time=first["time"],
        )
        for event in others:
            task.trigger_event(cls.Happened, **_happened(event))
        return task


def _happened(event: Event) -> dict[str, Any]:
    data = event["data"]
    assignees = list(data["assignees"]) if "assignees" in data else None
    return {
        "kind": event["type"],
        "stage": data.get("stage"),
        "assignees": assignees,
        "actor": event["actor"],
        "time": event["time"],
    }


class Tasks(Application[UUID]):  # type: ignore[misc]
    """The application that saves aggregates."""


class TaskView(PostgresTrackingRecorder):  # type: ignore[misc]
    """One row for each task."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        table = (Identifier(SCHEMA), Identifier("task_view"))
        columns = "id uuid PRIMARY KEY, list_id text, title text, status text, stage text"
        columns += ", assignees text[], version bigint, updated_at timestamptz"
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS {}.{} (" + columns + ")").format(*table)
        )
        self._insert = SQL("INSERT INTO {}.{} VALUES (%s, %s, %s, 'open', %s, %s, %s, %s)").format(*table)
        self._update = SQL(
            "UPDATE {}.{} SET status = %s, stage = coalesce(%s, stage), "
            "assignees = coalesce(%s, assignees), version = %s, updated_at = %s WHERE id = %s"
        ).format(*table)

    def write(self, event: Any, tracking: Tracking) -> None:
        """Write a task's row and the position of the projection in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            if isinstance(event, Task.Created):
                row = (event.list_id, event.title, event.stage, event.assignees)
                cursor.execute(
                    self._insert,
                    (event.originator_id, *row, event.originator_version, event.time),
                    prepare=True,
                )
            else:
                status = "done" if event.kind == "task.completed" else "open"
                state = (status, event.stage, event.assignees, event.originator_version, event.time)
                cursor.execute(self._update, (*state, event.originator_id), prepare=True)
            self._insert_tracking(cursor, tracking)


class TaskProjection(Projection[TaskView]):  # type: ignore[misc]
    """The projection that maintains the view."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Write one event into the view."""
        self.view.write(domain_event, tracking)


def _append(histories: list[list[Event]]) -> int:
    app = Tasks()
    last = 0
    for history in histories:
        last = app.save(Task.of(history))[-1].notification.id
    app.close()
    return last


def _project(last: int) -> None:
    runner = ProjectionRunner(application_class=Tasks, projection_class=TaskProjection, view_class=TaskView)
    with runner:
        runner.wait(last, timeout=LIMIT_S)


def _environment(database_url: str) -> dict[str, str]:
    url = make_url(database_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(url.database),
        "POSTGRES_HOST": str(url.host),
        "POSTGRES_PORT": str(url.port),
        "POSTGRES_USER": str(url.username),
        "POSTGRES_PASSWORD": str(url.password),
        "POSTGRES_SCHEMA": SCHEMA,
        "PGOPTIONS": "-c synchronous_commit=off",
    }


async def _create_schema(database_url: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    await connection.close()


def _some_traces(events: int) -> list[XesTrace]:
    tasks = max(1, incidents.TASKS * events // incidents.EVENTS)
    return incidents.traces(tasks, events)


def main() -> None:
    """Append, project, and print the speed."""
    database_url, events = os.environ["DATABASE_URL"], int(os.environ["BENCH_EVENTS"])
    asyncio.run(_create_schema(database_url))
    os.environ.update(_environment(database_url))
    histories = [history_of(trace).events for trace in _some_traces(events)]
    Tasks().close()  # creates its tables
    started_s = time.monotonic()
    last = _append(histories)
    appended_s = time.monotonic()
    _project(last)
    done_s = time.monotonic()
    measured = {
        "events": events,
        "appending_per_s": events / (appended_s - started_s),
        "projecting_per_s": events / (done_s - appended_s),
    }
    sys.stdout.write(to_json(measured).decode() + "\n")


if __name__ == "__main__":
    main()
