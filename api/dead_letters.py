"""Dead letters over HTTP, for administrators: what is parked, and the two ways on.

Both are facts of the log. A retry appends the parked record again, byte for byte, and those behind it. A skip
appends a control record that lifts the hold, and then those behind it.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import object_answer
from api.asking import path_position, query_of
from api.cursors import Offset, Partition, decode_cursor, encode_cursor
from api.edge import Edge, caller_of, edge_of
from api.problems import correlation_id_of
from api.schemas import DeadLetter, DeadLetterPageOut, LettersWritten, PageQuery
from app.errors import Conflict, NotFound
from app.positions import Position, positions_to_json
from app.records import Record, StreamResumed, source_of

APPEND_AT_ONCE = 500
NOWHERE_STREAM = "user:operator"
"""Carries the skip of a record that names no stream."""
_CURSOR = "dead-letters"
_PLACE: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[Partition, Offset])
_SOURCE = source_of("api", "dead-letters")


async def dead_letters(request: Request) -> Response:
    """GET /api/dead-letters."""
    query = query_of(request, PageQuery)
    edge = edge_of(request)
    after = Position(-1, -1)
    if query.cursor is not None:
        after = Position(*decode_cursor(_CURSOR, query.cursor, _PLACE))
    rows = await edge.audit.dead_letters(after=after, limit=query.limit + 1)
    now = edge.clock()
    items = [_letter(row, now) for row in rows[: query.limit]]
    end = None
    if len(rows) > query.limit:
        last = rows[query.limit - 1]
        end = encode_cursor(_CURSOR, [last["partition"], last["offset"]])
    return object_answer(DeadLetterPageOut(items=items, next_cursor=end))


def _letter(row: asyncpg.Record, now: datetime) -> DeadLetter:
    return DeadLetter(
        position=f"{row['partition']}:{row['offset']}",
        stream=row["stream"],
        holds=row["holds"],
        reason=row["reason"],
        attempts=row["attempts"],
        parked_at=row["parked_at"],
        attempted_at=row["attempted_at"],
        age_s=max(0.0, (now - row["parked_at"]).total_seconds()),
        key=None if row["key"] is None else row["key"].decode(errors="replace"),
    )


async def retry(request: Request) -> Response:
    """POST /api/dead-letters/{position}/retry."""
    edge = edge_of(request)
    letter = await _settleable(request, edge)
    position = Position(letter["partition"], letter["offset"])
    written = await _again(edge, [position])
    if letter["holds"]:
        written += await _again_behind(edge, letter["stream"], position)
    return _answer(written)


async def skip(request: Request) -> Response:
    """POST /api/dead-letters/{position}/skip."""
    edge = edge_of(request)
    letter = await _settleable(request, edge)
    position = Position(letter["partition"], letter["offset"])
    control = Record(
        id=edge.new_id(),
        stream=letter["stream"] or NOWHERE_STREAM,
        version=0,
        time=edge.clock(),
        actor=caller_of(request).user,
        source=_SOURCE,
        data=StreamResumed(skipped=(str(position),)),
        correlation_id=correlation_id_of(request),
    )
    # Beside the record it skips, whatever partitioner put that there.
    written = await edge.log.append([control], partition=position.partition)
    if letter["holds"]:
        written += await _again_behind(edge, letter["stream"], position)
    return _answer(written)


async def _settleable(request: Request, edge: Edge) -> asyncpg.Record:
    """The parked record that the path names. Raises `NotFound`, or `Conflict` if it waits behind another."""
    position = path_position(request)
    await edge.commands.recent()
    letter = await edge.audit.dead_letter(position)
    if letter is None:
        raise NotFound(f"no record is parked at {position}")
    if not letter["holds"] and letter["stream"] is not None:
        holder = await edge.audit.holder(letter["stream"])
        if holder is not None:
            raise Conflict(f"this record waits behind {holder}; settle that one")
    return letter


async def _again_behind(edge: Edge, stream: str, position: Position) -> list[Position]:
    """Append again what is parked behind a record, in order."""
    written: list[Position] = []
    after = position
    while behind := await edge.audit.parked_behind(stream, after, APPEND_AT_ONCE):
        written += await _again(edge, behind)
        after = behind[-1]
    return written


async def _again(edge: Edge, positions: list[Position]) -> list[Position]:
    """Append again records of one partition, which are given in order."""
    partition, first, end = positions[0].partition, positions[0].offset, positions[-1].offset + 1
    wanted = set(positions)
    raws = [
        raw async for batch in edge.log.read(partition, first, end) for raw in batch if raw.position in wanted
    ]
    return await edge.log.append_again(raws)


def _answer(written: list[Position]) -> Response:
    last: dict[int, int] = {}
    for position in written:
        last[position.partition] = max(position.offset, last.get(position.partition, -1))
    result = LettersWritten(appended=len(written), positions=positions_to_json(last))
    return object_answer(result, status=202, positions=last)
