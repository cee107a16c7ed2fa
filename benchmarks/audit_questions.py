"""Questions to an audit of many events: each filter, alone and with others, with frequent and rare values."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime

from app.audit.filters import FILTERS
from app.audit.query import AuditQuery, read_query
from app.dates import format_time
from app.stream_ids import task_stream
from benchmarks.many_events import (
    BEGIN,
    END,
    EVENTS_OF_A_TASK,
    LISTS,
    PEOPLE,
    STAGES,
    list_id,
    request_id,
    task_id,
)

Draw = random.Random


def question(draw: Draw, events: int, filters: int) -> AuditQuery:
    """Return a question with so many filters, drawn for an audit of so many events."""
    chosen = draw.sample(sorted(_VALUES), filters)
    return read_query(pair for name in chosen for pair in _VALUES[name](draw, events))


def _time(draw: Draw) -> datetime:
    return BEGIN + (END - BEGIN) * draw.random()


def _span(name: str) -> Callable[[Draw, int], Sequence[tuple[str, str]]]:
    """Return a draw of a span of an hour, a day, a month, or from some time on."""

    def drawn(draw: Draw, _: int) -> Sequence[tuple[str, str]]:
        begin = _time(draw)
        share = draw.choice([1 / 8_760, 1 / 365, 1 / 12, 1])
        pair = (
            (f"{name}_from", format_time(begin)),
            (f"{name}_to", format_time(begin + (END - BEGIN) * share)),
        )
        return draw.choice([pair, pair, pair[:1], pair[1:]])

    return drawn


def _positions(draw: Draw, events: int) -> Sequence[tuple[str, str]]:
    partition, offset = draw.randrange(4), draw.randrange(events // 4)
    return draw.choice(
        [
            [("position", f"{partition}:{offset}")],
            [("position_from", f"{partition}:{offset}")],
            [("position_to", f"{partition}:{offset}")],
            [("position_from", f"{partition}:{offset}"), ("position_to", f"{partition}:{offset + 1_000}")],
        ]
    )


def _change(draw: Draw, _: int) -> Sequence[tuple[str, str]]:
    stage = [("field", "stage"), ("from", draw.choice(STAGES)), ("to", draw.choice(STAGES))]
    return draw.choice(
        [
            stage,
            stage[:2],
            [("field", "tags"), ("to", f"tag{draw.randrange(40, 95)}")],
            [("field", draw.choice(["status", "name", "comment_count", "deleted_at", "notes"]))],
        ]
    )


def _one(name: str, values: Callable[[Draw, int], str]) -> Callable[[Draw, int], Sequence[tuple[str, str]]]:
    return lambda draw, events: [(name, values(draw, events))]


_VALUES: dict[str, Callable[[Draw, int], Sequence[tuple[str, str]]]] = {
    "stream": _one(
        "stream", lambda draw, events: task_stream(task_id(draw.randrange(events // EVENTS_OF_A_TASK)))
    ),
    "list_id": _one("list_id", lambda draw, _: list_id(draw.choice([0, 0, 1, draw.randrange(LISTS)]))),
    "actor": _one(
        "actor",
        lambda draw, _: draw.choice(["ida", "dora", "person0", f"person{draw.randrange(PEOPLE)}", "eve"]),
    ),
    "type": _one(
        "type",
        lambda draw, _: draw.choice(
            ["task.*", "task.created", "list.*", "task.com*", "*.deleted", "user.*", "task.reopened"]
        ),
    ),
    "outcome": _one("outcome", lambda draw, _: draw.choice(["accepted", "superseded", "parked"])),
    "field": _change,
    "correlation_id": _one("correlation_id", lambda draw, events: request_id(draw.randrange(events // 3))),
    "causation_id": _one("causation_id", lambda draw, events: request_id(draw.randrange(events))),
    "source": _one(
        "source",
        lambda draw, _: draw.choice(["/tasktape/api", "/tasktape/import/ida", "/tasktape/policy/structure"]),
    ),
    "position": _positions,
    "time": _span("time"),
    "recorded": _span("recorded"),
    "q": _one(
        "q",
        lambda draw, _: draw.choice(["w0", "w1 w2", "w7*", '"w0 w1"', "w0 -w1", "-w0", "w12345", "w2 w3 w4"]),
    ),
}


def drawn_filters() -> set[str]:
    """Return the names of the filters that questions may have."""
    draw = Draw(1)
    return {name for make in _VALUES.values() for _ in range(60) for name, _ in make(draw, 1_000)} & set(
        FILTERS
    )
