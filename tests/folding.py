"""Fold of a whole log and the update of each record, which every read model must agree with."""

from __future__ import annotations

from collections.abc import Iterable

from app.log import updates
from app.log.event_json import changes_json, event_of
from app.log.fold import Fold, Folded, Home, changes, decoded
from app.log.records import RawRecord, event_data_json
from app.log.updates import Update, state_json


def fold_log(records: Iterable[RawRecord], home: Home | None = None) -> tuple[Fold, list[Folded]]:
    """Fold a whole log, or whole streams of it, from nothing."""
    fold = Fold(home=home)
    return fold, [fold.apply(raw, decoded(raw)) for raw in records]


def update_of(folded: Folded) -> Update:
    """Return the update of `folded`."""
    record = folded.record
    data = event_data_json(record.data) if record else b"null"
    event = event_of(folded, data, changes_json(changes(folded.before, folded.after)))
    return updates.update_of(folded, event, state_json(folded.after))
