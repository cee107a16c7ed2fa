"""The server's side of an import: it receives batches and reports refusals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.positions import Positions, positions_from_json
from tasktape.importers.batches import Batch
from tasktape.importers.summary import Summary
from tasktape.importers.xes import Refused
from tasktape_client import Client, Patience, TasktapeError

PATIENCE = Patience(unanswered_s=5.0, limit_s=120.0, longest_delay_s=2.0)
"""The longest time that an import waits for a server that is away or behind its log."""
PROJECTED_PER_S = 500
"""Slower than this, the read models count as stuck."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The list that receives the tasks, and the positions that the read models had reached before."""

    list_id: str
    positions: Positions


class ImportServer:
    """Sends batches. All of it raises `TasktapeError` if the import cannot go on: what was sent stays."""

    def __init__(self, client: Client, run_id: str, *, add_stages: bool = False) -> None:
        self._client = client
        self._run_id = run_id
        self._add_stages = add_stages

    async def open(self, list_name: str) -> Destination:
        """Find or create the list, and wait until the server has caught up with its log."""
        found = await self._client.import_tasks((), list_name=list_name, correlation_id=self._run_id)
        return Destination(found.list_id, positions_from_json(found.positions))

    async def send(self, batch: Batch, to: Destination, summary: Summary) -> None:
        """Import a batch. If the server refuses it, its tasks are refused one by one."""
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                # Read models at the beginning of the run are enough, because a run sends each task once.
                imported = await self._client.import_tasks(
                    (parcel.json for parcel in part.parcels),
                    list_id=to.list_id,
                    since=to.positions,
                    add_stages=self._add_stages,
                    correlation_id=self._run_id,
                )
            except TasktapeError as error:
                waiting += _rest(part, error, summary)
            else:
                summary.take(imported)

    async def wait_visible(self, summary: Summary, limit_s: float = PATIENCE.limit_s) -> bool:
        """Wait until all that was imported is in the read models; False if they do not get there."""
        return await self._client.visible(summary.positions, limit_s + summary.added / PROJECTED_PER_S)


def _rest(part: Batch, error: TasktapeError, summary: Summary) -> Iterable[Batch]:
    """Return the batches to send instead of a refused one. Raise the error if there are none."""
    if error.status == 413:
        if len(part.parcels) > 1:
            return part.halves()
        _refuse(part, {0: "its history is larger than the server takes at once"}, summary)
        return ()
    reasons = dict(_reasons(error.errors, len(part.parcels)))
    if error.status != 422 or not reasons:
        raise error
    _refuse(part, reasons, summary)
    rest = part.without(set(reasons))
    return [rest] if rest.parcels else ()


def _reasons(errors: tuple[Mapping[str, Any], ...], tasks: int) -> Iterator[tuple[int, str]]:
    """Return the tasks that a 422 names, by their places, each with its first reason."""
    for error in reversed(errors):
        head, *place = error["field"].split(".", 2)
        if head == "tasks" and place and place[0].isdigit() and int(place[0]) < tasks:
            yield int(place[0]), f"{'.'.join(place[1:])} {error['message']}".strip()


def _refuse(batch: Batch, reasons: dict[int, str], summary: Summary) -> None:
    for index, reason in sorted(reasons.items()):
        trace, line, _ = batch.parcels[index]
        summary.refuse(Refused(trace, line, reason))
