"""Records as anybody may write them to the log: similar to ours, and wrong in any way."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from hypothesis import strategies as st

from app.log.records import EVENT_CLASSES, EVENT_TYPES
from app.tasks.fields import SERIES_FIELDS
from app.values import MAX_REMINDERS

STREAMS = ["task:a", "task:b", "list:l", "user:alice"]
LONG = "x" * 3_000
TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "l", "alice", "2026-03-01", "P1D", "-P1D", "FREQ=DAILY", "Europe/Madrid", LONG]
    ),
    st.sampled_from(
        ["x" * 200_000, "\u0001" * 500, "\U0001f600" * 300, "a\nb", "../etc", "%", " ", "\ufeff"]
    ),
    st.text(max_size=8),
)
NUMBERS = st.one_of(
    st.integers(-3, 5),
    st.sampled_from([2**31, 2**53, 2**63, 10**400, -(2**63), 0.5, 1e308, float("inf"), float("nan")]),
)
TIMES = st.sampled_from(
    [
        "2026-03-01T09:00:00Z",
        "2026-03-01T09:00:00+02:00",
        "2026-03-01T09:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2026-13-01",
    ]
)
ODD: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, TIMES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
SHORT = st.sampled_from(["a", "b", "l", "alice", "bob"])
REMINDERS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"at": TIMES}),
        st.fixed_dictionaries({"before": st.sampled_from(["PT30M", "P1D", "soon", "P999999999D", ""])}),
        st.just({}),
    ),
    max_size=MAX_REMINDERS + 1,
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "created_by": SHORT,
    "list_id": st.just("l"),
    "title": SHORT,
    "name": SHORT,
    "notes": TEXTS,
    "text": TEXTS,
    "priority": st.sampled_from(["none", "urgent"]),
    "status": st.sampled_from(["open", "done"]),
    "due": st.one_of(TIMES, st.just("2026-03-01"), st.none()),
    "time_zone": st.sampled_from(["Europe/Madrid", "Nowhere/At/All", "..", None]),
    "tags": st.lists(TEXTS, max_size=3),
    "assignees": st.lists(SHORT, max_size=3),
    "stage": st.one_of(SHORT, st.none()),
    "rank": st.sampled_from(["0", "zz", "é", None, "i" * 1_000]),
    "parent_id": st.sampled_from(["a", "b", None]),
    "recurrence": st.sampled_from(["FREQ=DAILY", "FREQ=DAILY;COUNT=0", "nonsense", None]),
    "recurrence_from": st.sampled_from(["due", "completion"]),
    "reminders": REMINDERS,
    "estimate": NUMBERS,
    "notify": st.lists(SHORT, max_size=3),
    "mentions": st.lists(SHORT, max_size=3),
    "this_only": st.lists(st.sampled_from([*sorted(SERIES_FIELDS), "x"]), max_size=9),
    "comment_id": SHORT,
    "at": TIMES,
    "until": TIMES,
    "version": NUMBERS,
    "user": SHORT,
    "to": SHORT,
    "role": st.sampled_from(["owner", "viewer"]),
    "inbox": st.booleans(),
    "top_level": st.booleans(),
    "stages": st.lists(st.fixed_dictionaries({"name": SHORT, "category": st.just("open")}), max_size=2),
    "ids": st.lists(SHORT, max_size=3),
    "means": st.sampled_from(["query", "sql"]),
    "question": TEXTS,
    "skipped": st.lists(st.sampled_from(["0:0", "0:1", "1:0", "1:1", "x"]), max_size=3),
    "completed_at": st.one_of(TIMES, st.none()),
    "deleted_at": st.one_of(TIMES, st.none()),
}
LIKELY["values"] = st.fixed_dictionaries(
    {}, optional={name: st.one_of(LIKELY[name], ODD) for name in (*sorted(SERIES_FIELDS),)}
)
LIKELY["series"] = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"id": SHORT, "occurrence": NUMBERS, "scheduled": LIKELY["due"]},
        optional={"values": LIKELY["values"]},
    ),
)
EDITABLE = (
    "title",
    "notes",
    "due",
    "tags",
    "reminders",
    "estimate",
    "recurrence",
    "series",
    "completed_at",
    "rank",
    "stages",
)
LIKELY["fields"] = st.fixed_dictionaries({}, optional={name: LIKELY[name] for name in EDITABLE})


class Foreign(NamedTuple):
    """A record: the partition it is written to, its key, value and headers."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, Any]]


def _likely(draw: st.DrawFn, kind: type[Any]) -> dict[str, Any]:
    return {
        each.name: draw(LIKELY[each.name])
        for each in fields(kind)
        if (each.default is MISSING and each.default_factory is MISSING) or draw(st.booleans())
    }


@st.composite
def foreign_records(draw: st.DrawFn, partitions: int, versions: dict[str, int]) -> Foreign:
    """Generate a record that follows those of its stream, as counted in `versions`, or nearly does."""
    stream = draw(st.sampled_from(STREAMS))
    prefix = stream.partition(":")[0]
    version = versions.get(stream, 0) + draw(st.sampled_from([1, 1, 1, 1, 1, 0, 2]))
    kinds = [each for each in EVENT_CLASSES if each.type.startswith((prefix, "stream."))]
    kind = kinds[0] if version == 1 else draw(st.sampled_from(kinds))
    data: Any = _likely(draw, kind)
    if data and draw(st.integers(0, 5)) == 0:
        data[draw(st.sampled_from(sorted(data)))] = draw(ODD)
    value: bytes | None = json.dumps(data).encode()
    if draw(st.integers(0, 15)) == 0:
        value = draw(
            st.one_of(st.none(), st.binary(max_size=20), st.sampled_from([b"[" * 5000, b'{"a":"\\ud800"}']))
        )
    number = 0 if kind.type == "stream.resumed" else version
    headers: list[tuple[str, Any]] = [
        ("ce_specversion", b"1.0"),
        (
            "ce_id",
            draw(st.sampled_from(["1", "2", "3", "4", "5", "6", "\U0001f600" * 256, "e" * 600])).encode(),
        ),
        ("ce_type", kind.type.encode()),
        ("ce_source", b"/elsewhere"),
        ("ce_subject", stream.encode()),
        ("ce_time", draw(st.one_of(st.just("2026-03-01T09:00:00Z"), TIMES)).encode()),
        ("ce_dataschema", EVENT_TYPES[kind.type].dataschema.encode()),
        ("ce_streamversion", str(number).encode()),
        ("ce_actor", draw(st.sampled_from(["alice", "bob", "n" * 900])).encode()),
    ]
    if draw(st.integers(0, 9)) == 0:
        headers.append(("ce_retryof", draw(st.sampled_from([b"0:0", b"0:3", b"1:2", b"\xff", b"9:9", None]))))
    if draw(st.integers(0, 15)) == 0:
        at = draw(st.integers(0, len(headers) - 1))
        headers[at] = (
            headers[at][0],
            draw(st.one_of(st.none(), st.binary(max_size=5), st.just(b"9" * 5000))),
        )
    if draw(st.integers(0, 9)) > 0:
        versions[stream] = version
    return Foreign(
        draw(st.integers(0, partitions - 1)) if draw(st.integers(0, 9)) == 0 else -1,
        stream.encode(),
        value,
        headers,
    )


@st.composite
def foreign_logs(draw: st.DrawFn, partitions: int) -> list[Foreign]:
    """Generate records in the order of writing; partition -1 is the stream's own."""
    versions: dict[str, int] = {}
    return [draw(foreign_records(partitions, versions)) for _ in range(draw(st.integers(1, 25)))]
