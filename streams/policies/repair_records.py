"""The records that repair a violation of the rules that span streams."""

from __future__ import annotations

from datetime import datetime

from app.ids import derived_id, inbox_id
from app.lists.state import TaskList
from app.log.records import Record
from app.stream_ids import list_stream
from app.structure.repairs import REASONS, SOURCE, Repair, inbox_created
from app.tasks.state import Task
from projections.queries.structure import RepairCause


def repair_records(
    repair: Repair, before: Task | TaskList, cause: RepairCause | None, time: datetime
) -> list[Record]:
    """Return the record of a repair, after the record that creates the inbox it needs, if any.

    `before` is the state to repair, and `cause` the newest event of the streams involved.
    """
    record = Record(
        id=repair.event_id,
        stream=repair.violation.stream,
        version=before.version + 1,
        time=time,
        actor=before.created_by if cause is None else cause.actor,
        source=SOURCE,
        data=repair.event,
        correlation_id=None if cause is None else cause.correlation_id,
        causation_id=None if cause is None else cause.event_id,
        reason=REASONS[repair.violation.rule],
    )
    return [record] if repair.inbox_of is None else [_inbox_record(repair.inbox_of, time), record]


def _inbox_record(user: str, time: datetime) -> Record:
    """Return the record that creates a user's inbox, as the user's first request would."""
    return Record(
        id=derived_id("inbox-created", user),
        stream=list_stream(inbox_id(user)),
        version=1,
        time=time,
        actor=user,
        source=SOURCE,
        data=inbox_created(),
    )
