"""A synthetic incident log of realistic shape: as many tasks and events as a real one, of the same kinds.

It is the same on every machine, because all of it is drawn from one seed.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from xml.sax.saxutils import quoteattr

from app.imported_history import Import, ImportedTask, records_of
from app.log.records import Record
from tasktape.importers.histories import history_of
from tasktape.importers.xes import XesEvent, XesTrace

TASKS = 7_554
EVENTS = 65_533
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 365
PEOPLE = 1_400
MOST_EVENTS = 120
SEED = 2013
REOPENED = 0.01
"""The share of events that end the work too early."""
STAGES = (
    ("Accepted", "In Progress"),
    ("Accepted", "In Progress"),
    ("Accepted", "In Progress"),
    ("Queued", "Awaiting Assignment"),
    ("Queued", "Awaiting Assignment"),
    ("Accepted", "Wait - User"),
    ("Accepted", "Assigned"),
)
ENDS = (("Completed", "Resolved"), ("Completed", "Closed"))
LIST_ID = "0195d0a0-0000-7000-8000-000000000001"


def traces(tasks: int = TASKS, events: int = EVENTS) -> list[XesTrace]:
    """Return the traces with their events in the order of time; `events` in all."""
    draw = random.Random(SEED)
    lengths = _lengths(draw, tasks, events)
    return [_trace(draw, number, length) for number, length in enumerate(lengths, start=1)]


def records(found: list[XesTrace]) -> list[Record]:
    """Return the records of these traces in the order of time, as if written when they happened."""
    run = Import(LIST_ID, "bench", None)
    made = [record for trace in found for record in records_of(run, _task(trace))]
    made.sort(key=lambda record: record.time)
    return made


def write_xes(path: Path, found: list[XesTrace]) -> None:
    """Write the traces as a gzipped XES file."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=6) as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<log xes.version="1.0">\n')
        for trace in found:
            file.writelines(_xml(trace))
        file.write("</log>\n")


def _lengths(draw: random.Random, tasks: int, events: int) -> list[int]:
    """Return the number of events of each trace: a few have many; all together have `events`."""
    lengths = [min(MOST_EVENTS, 2 + int(draw.expovariate(1 / 6.2))) for _ in range(tasks)]
    missing = events - sum(lengths)
    step = 1 if missing > 0 else -1
    while missing:
        place = draw.randrange(tasks)
        if 2 <= lengths[place] + step <= MOST_EVENTS:
            lengths[place] += step
            missing -= step
    return lengths


def _trace(draw: random.Random, number: int, length: int) -> XesTrace:
    time = FIRST_DAY + timedelta(seconds=draw.randrange(DAYS * 86_400))
    events = []
    for place in range(length):
        ends = place == length - 1 or draw.random() < REOPENED
        stage, transition = draw.choice(ENDS if ends else STAGES)
        events.append(XesEvent(stage, transition, f"Person {draw.randrange(PEOPLE)}", time))
        time += timedelta(milliseconds=draw.randrange(1_000, 2 * 86_400_000))
    return XesTrace(number, number, f"1-{number:09d}", events)


def _task(trace: XesTrace) -> ImportedTask:
    return cast("ImportedTask", {"key": trace.label, "events": history_of(trace).events})


def _xml(trace: XesTrace) -> Iterator[str]:
    yield f'<trace>\n<string key="concept:name" value={quoteattr(trace.label)}/>\n'
    for event in trace.events:
        yield (
            f'<event>\n<date key="time:timestamp" value="{event.time.isoformat()}"/>\n'
            f'<string key="org:group" value="Org line C"/>\n'
            f'<string key="org:resource" value={quoteattr(event.resource or "")}/>\n'
            f'<string key="organization country" value="se"/>\n'
            f'<string key="concept:name" value={quoteattr(event.name or "")}/>\n'
            f'<string key="impact" value="Medium"/>\n<string key="product" value="PROD424"/>\n'
            f'<string key="lifecycle:transition" value={quoteattr(event.transition or "")}/>\n</event>\n'
        )
    yield "</trace>\n"
