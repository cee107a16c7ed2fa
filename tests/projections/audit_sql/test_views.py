"""The views: what they say of any log equals what the API says of it."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings

from app.stream_ids import StreamId
from projections.audit_sql.values import TASK_FORMS
from projections.projector import Projector
from projections.read_models.audit_rows import EVENT_COLUMNS, event_from_row, state_from_row
from tests.memory_log import MemoryEventLog
from tests.projections.audit_sql.conftest import PARTITIONS, Audited
from tests.projections.foreign_records import Foreign, foreign_logs
from tests.projections.test_foreign_records import put
from tests.spec import START
from tests.thoroughness import examples
from tests.truth import emptied


@given(records=foreign_logs(PARTITIONS))
@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
async def test_changes_and_versions_are_those_of_the_api(audited: Audited, records: list[Foreign]) -> None:
    """For records that anybody may write."""
    await project(audited, records)
    rows = await audited.database.pool.fetch(f"SELECT {EVENT_COLUMNS} FROM audit WHERE outcome = 'accepted'")
    events = [event_from_row(row) for row in rows]
    expected = {str(event.position): pairs(json.loads(event.changes)) for event in events}
    assert differences(await changes(audited), expected) == []
    states = [json.loads(state_from_row(row) or b"null") for row in rows]
    versions = {
        (state["id"], state["version"]): state
        for event, state in zip(events, states, strict=True)
        if state is not None and StreamId(str(event.stream)).kind == "task" and event.version
    }
    found = await audited.database.pool.fetch(
        f"SELECT id, version, to_jsonb(v) AS row FROM {audited.views}.task_versions AS v"
    )
    assert {(row["id"], row["version"]) for row in found} == set(versions)
    for row in found:
        state = versions[row["id"], row["version"]]
        shown = json.loads(row["row"])
        for name, form in TASK_FORMS.items():
            assert in_form(shown[name], form) == in_form(state[name], form), name


async def project(audited: Audited, records: list[Foreign]) -> None:
    await emptied(audited.database)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    for foreign in records:
        await put(log, foreign)
    projector = Projector(audited.database, log.read, None, home=log.partition_of)
    for partition, end in (await log.ends()).items():
        await projector.catch_up(partition, end)


def differences(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> list[Any]:
    """Return what differs, by position and field."""
    places = {(position, name) for of in (found, expected) for position in of for name in of[position]}
    nothing: dict[str, Any] = {}
    return [
        (position, name, each, other)
        for position, name in sorted(places)
        if (each := found.get(position, nothing).get(name))
        != (other := expected.get(position, nothing).get(name))
    ]


def pairs(changed: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (before, after) for name, (before, after) in changed.items()}


async def changes(audited: Audited) -> dict[str, dict[str, tuple[Any, Any]]]:
    rows = await audited.database.pool.fetch(
        f"SELECT position, field, before, after FROM {audited.views}.changes"
    )
    found: dict[str, dict[str, tuple[Any, Any]]] = defaultdict(dict)
    for row in rows:
        before, after = (None if row[name] is None else json.loads(row[name]) for name in ("before", "after"))
        assert row["field"] not in found[row["position"]]
        found[row["position"]][row["field"]] = before, after
    return found


def in_form(value: Any, form: str) -> Any:
    """Return a value to compare: PostgreSQL writes times otherwise, and has no empty objects in JSON null."""
    return datetime.fromisoformat(value) if form == "time" and value is not None else value
