"""The trainer of the dictionary of states in the audit, on made-up tasks and lists.

Run `python -m benchmarks.state_dictionary`, and raise `VERSION` of the read model `audit`, because states
that were compressed with the former dictionary cannot be read with the new one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard

from app.dates import format_time
from app.log.fold import Fold, decoded
from app.log.records import RawRecord, encode
from app.log.updates import state_json
from app.positions import Position
from benchmarks import incidents

TARGET = Path(__file__).parents[1] / "projections" / "read_models" / "states.dictionary"
SIZE_BYTES = 4_096
SEED = 5
IMPORTED, OTHERS = 300, 1_200
"""Incidents, whose states are sampled, and tasks like those that are entered by hand."""
WORDS = (
    *(
        "call",
        "buy",
        "send",
        "write",
        "read",
        "check",
        "plan",
        "book",
        "order",
        "pay",
        "fix",
        "clean",
        "review",
    ),
    *(
        "prepare",
        "update",
        "meet",
        "ask",
        "visit",
        "the",
        "a",
        "for",
        "with",
        "about",
        "and",
        "to",
        "of",
        "in",
    ),
    *("on", "at", "new", "old", "report", "invoice", "meeting", "house", "garden", "office", "car", "doctor"),
    *(
        "customer",
        "project",
        "team",
        "letter",
        "offer",
        "price",
        "door",
        "window",
        "printer",
        "test",
        "release",
    ),
)
NAMES = ("alice", "bob", "carol", "dave", "anna", "maria", "john", "peter")
STAGES = ("To do", "In progress", "Doing", "Waiting", "Review", "Done", None)
TAGS = ("home", "work", "urgent", "errands", "later", "bug", "idea", "phone")


def main() -> None:
    draw = random.Random(SEED)
    states: list[bytes | bytearray | memoryview] = [*_imported(draw), *_lists(draw)]
    TARGET.write_bytes(zstandard.train_dictionary(SIZE_BYTES, states).as_bytes())
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes from {len(states):,} states")


def _imported(draw: random.Random) -> Iterator[bytes]:
    """Yield the states of incidents, and of tasks by hand made from them, without their ids."""
    fold = Fold()
    folded: list[bytes] = []
    for number, record in enumerate(incidents.records(incidents.traces(IMPORTED, IMPORTED * 9))):
        key, value, headers = encode(record)
        raw = RawRecord(Position(0, number), record.time, key, headers, value)
        folded.append(state_json(fold.apply(raw, decoded(raw)).after))
    for state in draw.sample(folded, OTHERS):
        yield _without_ids(state)
        yield _without_ids(json.dumps(_by_hand(draw, json.loads(state)), separators=(",", ":")).encode())


def _by_hand(draw: random.Random, task: dict[str, Any]) -> dict[str, Any]:
    done = draw.random() < 0.3
    task |= {
        "title": _text(draw, 2, 6),
        "notes": _text(draw, 4, 20) if draw.random() < 0.2 else "",
        "priority": draw.choice(("none", "none", "low", "medium", "high")),
        "due": f"2026-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}" if draw.random() < 0.3 else None,
        "tags": draw.sample(TAGS, draw.choice((0, 0, 1, 2))),
        "assignees": draw.sample(NAMES, draw.choice((0, 0, 1, 1, 2))),
        "stage": draw.choice(STAGES),
        "created_by": draw.choice(NAMES),
        "status": "done" if done else "open",
        "comment_count": draw.choice((0, 0, 0, 1, 2)),
        "estimate": draw.choice((None, None, None, 30, 60)),
        "version": draw.randrange(1, 12),
        "created_at": _time(draw),
        "updated_at": _time(draw),
        "completed_at": _time(draw) if done else None,
        "deleted_at": _time(draw) if draw.random() < 0.05 else None,
    }
    return task


def _lists(draw: random.Random) -> Iterator[bytes]:
    for _ in range(OTHERS // 8):
        yield json.dumps(
            {
                "name": _text(draw, 1, 3),
                "inbox": draw.random() < 0.2,
                "members": {
                    name: draw.choice(("owner", "editor", "viewer")) for name in draw.sample(NAMES, 2)
                },
                "stages": [
                    {"name": name, "category": draw.choice(("open", "active", "done"))}
                    for name in STAGES[: draw.choice((0, 3))]
                ],
                "version": draw.randrange(1, 9),
                "created_at": _time(draw),
                "created_by": draw.choice(NAMES),
                "updated_at": _time(draw),
                "deleted_at": None,
                "time_zone": None,
            },
            separators=(",", ":"),
        )[1:].encode()


def _without_ids(state: bytes) -> bytes:
    return state[state.index(b'"title"') :]


def _text(draw: random.Random, least: int, most: int) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(least, most))).capitalize()


def _time(draw: random.Random) -> str:
    time = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=draw.randrange(5 * 365 * 86_400 * 1_000_000)
    )
    return format_time(time)


if __name__ == "__main__":
    main()
