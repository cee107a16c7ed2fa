"""Dead letters over HTTP, for administrators: parked records, and the two ways to resolve them.

Both are written to the log. A retry appends the parked record again, byte for byte, and the records that wait
behind it. A skip appends a control record that resumes the stream, and then the records that wait behind it.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
)
from starlette.requests import Request
from starlette.responses import Response

from api.http.cursors import Offset, Partition, decode_cursor, encode_cursor
from api.http.dependencies import Dependencies, caller_of, dependencies_of
from api.http.problems import correlation_id_of
from api.http.query import PageQuery
from api.http.requests import path_position, query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from app.errors import Conflict, NotFound
from app.log.records import Record, StreamResumed, source_of
from app.positions import Position, positions_to_json
from app.stream_ids import user_stream
from projections.read_models.dead_letters import ParkedRecord


class DeadLetter(BaseModel):
    """A record that could not be folded, or that waits behind one."""

    position: str
    stream: str | None
    holds: bool = Field(description="True if its stream waits for it")
    reason: str
    attempts: int
    parked_at: datetime
    attempted_at: datetime
    age_s: float
    key: str | None


class DeadLetterPageOut(BaseModel):
    """Parked records, in the order of the log."""

    items: list[DeadLetter]
    next_cursor: str | None


class LettersWritten(BaseModel):
    """The records that were appended to the log to resolve parked records."""

    appended: int
    positions: dict[str, int]


APPEND_AT_ONCE = 500
NOWHERE_STREAM = user_stream("operator")
"""The stream of the skip of a record that names no stream."""
_CURSOR = "dead-letters"
_PLACE: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[Partition, Offset])
_SOURCE = source_of("api", "dead-letters")


async def dead_letters(request: Request) -> Response:
    """GET /api/dead-letters."""
    query = query_of(request, PageQuery)
    deps = dependencies_of(request)
    after = Position(-1, -1)
    if query.cursor is not None:
        after = Position(*decode_cursor(_CURSOR, query.cursor, _PLACE))
    found = await deps.dead_letters.page(after=after, limit=query.limit + 1)
    now = deps.clock()
    items = [_letter(each, now) for each in found[: query.limit]]
    end = None
    if len(found) > query.limit:
        end = encode_cursor(_CURSOR, list(found[query.limit - 1].position))
    return object_answer(DeadLetterPageOut(items=items, next_cursor=end))


def _letter(parked: ParkedRecord, now: datetime) -> DeadLetter:
    return DeadLetter(
        position=str(parked.position),
        stream=parked.stream,
        holds=parked.holds,
        reason=parked.reason,
        attempts=parked.attempts,
        parked_at=parked.parked_at,
        attempted_at=parked.attempted_at,
        age_s=max(0.0, (now - parked.parked_at).total_seconds()),
        key=None if parked.key is None else parked.key.decode(errors="replace"),
    )


async def retry(request: Request) -> Response:
    """POST /api/dead-letters/{position}/retry."""
    deps = dependencies_of(request)
    parked = await _settleable(request, deps)
    written = await _again(deps, [parked.position])
    written += await _again_behind(deps, parked)
    return _answer(written)


async def skip(request: Request) -> Response:
    """POST /api/dead-letters/{position}/skip."""
    deps = dependencies_of(request)
    parked = await _settleable(request, deps)
    control = Record(
        id=deps.new_id(),
        stream=parked.stream or NOWHERE_STREAM,
        version=0,
        time=deps.clock(),
        actor=caller_of(request).user,
        source=_SOURCE,
        data=StreamResumed(skipped=(str(parked.position),)),
        correlation_id=correlation_id_of(request),
    )
    # Append it to the partition of the skipped record, whichever partitioner chose that.
    written = await deps.log.append([control], partition=parked.position.partition)
    written += await _again_behind(deps, parked)
    return _answer(written)


async def _settleable(request: Request, deps: Dependencies) -> ParkedRecord:
    """Return the parked record in the path. Raise `NotFound`, or `Conflict` if it waits behind another."""
    position = path_position(request)
    await deps.commands.decisions.wait_until_recent()
    parked = await deps.dead_letters.one(position)
    if parked is None:
        raise NotFound(f"no record is parked at {position}")
    if not parked.holds and parked.stream is not None:
        holder = await deps.dead_letters.holder(parked.stream)
        if holder is not None:
            raise Conflict(f"this record waits behind {holder}; retry or skip that record first")
    return parked


async def _again_behind(deps: Dependencies, parked: ParkedRecord) -> list[Position]:
    """Append again, in order, the records that wait behind a parked record."""
    written: list[Position] = []
    after = parked.position
    if not parked.holds or parked.stream is None:
        return written
    while behind := await deps.dead_letters.parked_behind(parked.stream, after, APPEND_AT_ONCE):
        written += await _again(deps, behind)
        after = behind[-1]
    return written


async def _again(deps: Dependencies, positions: list[Position]) -> list[Position]:
    """Append again records of one partition, which are given in order."""
    partition, first, end = positions[0].partition, positions[0].offset, positions[-1].offset + 1
    wanted = set(positions)
    raws = [
        raw async for batch in deps.log.read(partition, first, end) for raw in batch if raw.position in wanted
    ]
    return await deps.log.append_again(raws)


def _answer(written: list[Position]) -> Response:
    last: dict[int, int] = {}
    for position in written:
        last[position.partition] = max(position.offset, last.get(position.partition, -1))
    result = LettersWritten(appended=len(written), positions=positions_to_json(last))
    return object_answer(result, status=202, positions=last)


_LETTER = "/api/dead-letters/{position}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/dead-letters",
        dead_letters,
        "List parked records",
        "operation",
        query=PageQuery,
        admin=True,
        answers={200: DeadLetterPageOut},
    ),
    Endpoint(
        "POST",
        f"{_LETTER}/retry",
        retry,
        "Retry a parked record and the records that wait behind it",
        "operation",
        admin=True,
        answers={202: LettersWritten},
    ),
    Endpoint(
        "POST",
        f"{_LETTER}/skip",
        skip,
        "Skip a parked record and retry the records that wait behind it",
        "operation",
        admin=True,
        answers={202: LettersWritten},
    ),
)
