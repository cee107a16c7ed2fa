"""Readiness: whether a record appended now would be projected immediately, and the problems if not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from pydantic import (
    BaseModel,
    Field,
)

from api.http.dependencies import Dependencies
from api.http.query import Query
from api.relay.system_channel import Pipeline
from app.errors import TaskError
from app.positions import positions_to_json
from projections.generations.completeness import describe_missing
from projections.postgres.database import DATABASE_UNAVAILABLE, GONE, PostgresError
from projections.queries.workers import WorkerReport, unserved
from projections.read_models.dead_letters import Parked


class ReadinessQuery(Query):
    """Options of the readiness check."""

    lag: Literal["any"] | None = Field(
        None, description="`any`: ignore workers that lag or are unavailable; check only this process"
    )


class Readiness(BaseModel):
    """The state of everything behind the API, and how far the read models are behind the log."""

    ready: bool
    lag: int | None = Field(description="Records that are not folded yet; null if unknown")
    positions: dict[str, int]
    log: dict[str, int] = Field(description="Partition → offset of the next record")
    parked: int | None = Field(description="Dead letters: parked records; null if unknown")
    held: int | None = Field(description="Streams that wait for a parked record; null if unknown")
    problems: list[str]
    node: str = Field(description="The name of the process that answers, as in its metrics")


T = TypeVar("T")

ANSWER_LIMIT_S = 3.0
AT_ONCE_S = 1.0
"""Seconds within which the read models must reach the log's end at the time of the request."""
LOOK_AGAIN_S = 0.05
LOST = "the read models are gone"
REMADE = "a worker that starts makes them again from the log"


@dataclass(slots=True)
class Standing:
    """The state of the log, the read models and the workers; None where it is unknown."""

    ends: Mapping[int, int] | None
    positions: Mapping[int, int] | None
    workers: Sequence[WorkerReport] | None
    parked: Parked | None
    problems: list[str] = field(default_factory=list)

    @property
    def lags(self) -> Mapping[int, int] | None:
        """Map each partition to the number of records that are not in the read models."""
        if self.ends is None or self.positions is None:
            return None
        return {
            partition: max(0, end - 1 - self.positions.get(partition, -1))
            for partition, end in self.ends.items()
        }


async def pipeline_of(deps: Dependencies) -> Pipeline:
    """Return the state of the log, the read models and the workers, for the channel `system`."""
    standing = await find_standing(deps)
    return Pipeline(
        appended=None if standing.ends is None else sum(standing.ends.values()),
        lags=standing.lags,
        parked=None if standing.parked is None else standing.parked.records,
        batches=None
        if standing.workers is None
        else {
            worker.slot: worker.figures.get("batch_records", 0) for worker in standing.workers if worker.is_up
        },
    )


async def find_standing(deps: Dependencies) -> Standing:
    """Query the state of the log and the database; `problems` lists what did not answer."""
    problems: list[str] = []
    ends, positions, workers, parked, missing = await asyncio.gather(
        _answer(deps.log.ends(), "the log", problems),
        _answer(deps.audit.positions(), "the database", problems),
        _answer(deps.workers.read(), "the database", problems),
        _answer(deps.dead_letters.parked(), "the database", problems),
        _answer(deps.missing_tables(), "the database", problems),
    )
    if missing:
        problems = [each.replace(LOST, describe_missing(missing)) for each in problems]
        problems.append(f"{describe_missing(missing)}: {REMADE}")
    return Standing(ends, positions, workers, parked, list(dict.fromkeys(problems)))


async def _answer(query: Awaitable[T], what: str, problems: list[str]) -> T | None:
    try:
        return await asyncio.wait_for(query, ANSWER_LIMIT_S)
    except TaskError as error:
        problems.append(error.detail)
    except GONE:
        problems.append(f"{LOST}: {REMADE}")
    except DATABASE_UNAVAILABLE:
        problems.append(f"{what} does not answer")
    except PostgresError as error:
        problems.append(f"the read models cannot be read: {error}")
    return None


async def find_readiness(deps: Dependencies, *, lag_allowed: bool) -> Readiness:
    """Return whether this node can serve and, unless `lag_allowed`, new records are visible at once."""
    problems = [] if deps.feed_alive() else ["the feed of updates is down"]
    if deps.stopping.is_set():
        problems.append("this process stops")
    standing = await find_standing(deps)
    problems += standing.problems
    if not lag_allowed and not standing.problems:
        problems += await _projecting_problems(deps, standing)
    lags = standing.lags
    return Readiness(
        ready=not problems,
        lag=None if lags is None else sum(lags.values()),
        positions=positions_to_json(standing.positions or {}),
        log=positions_to_json(standing.ends or {}),
        parked=None if standing.parked is None else standing.parked.records,
        held=None if standing.parked is None else standing.parked.holders,
        problems=problems,
        node=deps.node,
    )


async def _projecting_problems(deps: Dependencies, standing: Standing) -> list[str]:
    problems = []
    missing = unserved(deps.log.partitions, standing.workers or ())
    if missing:
        named = ", ".join(map(str, missing))
        problems.append(f"no worker is ready to project partition{'s' * (len(missing) > 1)} {named}")
    behind = await _still_behind(deps, standing)
    if behind:
        problems.append(f"the read models are {behind} records behind the log")
    return problems


async def _still_behind(deps: Dependencies, standing: Standing) -> int:
    """Wait for the read models to reach the log's end as of the request; return the remaining lag."""
    deadline = time.monotonic() + AT_ONCE_S
    while (behind := sum((standing.lags or {}).values())) and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_AGAIN_S)
        positions = await _answer(deps.audit.positions(), "the database", standing.problems)
        standing.positions = standing.positions if positions is None else positions
    return behind
