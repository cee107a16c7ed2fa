"""The server's side of an import, as a client sees it: `POST /api/import`, with patience."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from app.positions import Positions, format_positions, positions_from_json
from tasktape.importers.batches import Batch
from tasktape.importers.summary import Summary
from tasktape.importers.xes import Refused

PATH = "/api/import"
PATIENCE_S = 120.0
"""How long a server may be away, or behind its log, before an import gives up."""
CALL_S = 5.0
"""How long a server may be away that has not answered before: it may not be there at all."""
STEP_S = 20
RETRY_DELAYS_S = (0.2, 0.5, 1.0, 2.0)
PROJECTED_PER_S = 500
"""Slower than this, the read models count as stuck."""


class ImportStopped(Exception):
    """The import can't go on; the message is one line. What was sent stays, and need not be sent again."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The list that tasks go to, and the positions that the server's read models had reached before them."""

    list_id: str
    positions: Positions


class ImportServer:
    """Sends batches. `http` knows the server's address and the token; threads may share it."""

    def __init__(self, http: httpx.Client, run_id: str) -> None:
        self._http = http
        self._headers = {"Content-Type": "application/json", "X-Correlation-ID": run_id}
        self._patience_s = CALL_S

    def open(self, list_name: str) -> Destination:
        """Find or make the list, and wait until the server has caught up with its log."""
        answer = _checked(self._ask(orjson.dumps({"list": {"name": list_name}}), {}))
        return Destination(answer["list_id"], positions_from_json(answer["positions"]))

    def send(self, batch: Batch, to: Destination, summary: Summary) -> None:
        """Import a batch; what the server refuses of it is refused task by task. Raises `ImportStopped`."""
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            # Read models that have reached the run's beginning will do, as a run sends each task once; only a
            # repetition, which leaves the header out, has to look at what its first attempt may have written.
            first = {"Tasktape-Position": format_positions(to.positions)}
            answer = self._ask(part.body(to.list_id), first)
            if answer.status_code == 413 and len(part.parcels) > 1:
                waiting += part.halves()
            elif answer.status_code == 413:
                _refuse(part, {0: "its history is larger than the server takes at once"}, summary)
            elif answer.status_code == 422 and (reasons := dict(_reasons(answer, len(part.parcels)))):
                _refuse(part, reasons, summary)
                waiting += [rest for rest in [part.without(set(reasons))] if rest.parcels]
            else:
                summary.take(_checked(answer))

    def wait_visible(self, to: Destination, summary: Summary) -> bool:
        """Wait until all that was imported is in the read models; False if they do not get there."""
        deadline = time.monotonic() + PATIENCE_S + summary.added / PROJECTED_PER_S
        headers = {"Tasktape-Position": format_positions(summary.positions), "Prefer": f"wait={STEP_S}"}
        while time.monotonic() < deadline:
            try:
                answer = self._http.get(f"/api/lists/{to.list_id}", headers=headers)
            except httpx.TransportError:
                time.sleep(RETRY_DELAYS_S[-1])
                continue
            if answer.status_code != 503:
                _checked(answer)
                return True
            time.sleep(RETRY_DELAYS_S[0])
        return False

    def _ask(self, body: bytes, first_headers: dict[str, str]) -> httpx.Response:
        """Ask until there is an answer. Raises `ImportStopped` when patience ends."""
        started = time.monotonic()
        headers, delays = self._headers | first_headers, _delays()
        while True:
            try:
                answer = self._http.post(PATH, content=body, headers=headers)
            except httpx.TransportError as error:
                trouble = f"the server at {self._http.base_url} can't be reached: {_words(error)}"
            else:
                self._patience_s = PATIENCE_S
                if answer.status_code not in (429, 502, 503, 504):
                    return answer
                trouble = _detail(answer)
            if time.monotonic() > started + self._patience_s:
                raise ImportStopped(trouble)
            time.sleep(next(delays))
            headers = self._headers | {"Prefer": f"wait={STEP_S}"}


def _delays() -> Iterator[float]:
    yield from RETRY_DELAYS_S
    while True:
        yield RETRY_DELAYS_S[-1]


def _checked(answer: httpx.Response) -> dict[str, Any]:
    """The body of a successful answer. Raises `ImportStopped` with what else it says."""
    if answer.status_code != 200:
        raise ImportStopped(_detail(answer))
    try:
        body: dict[str, Any] = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        raise ImportStopped(f"{answer.url} does not answer as Tasktape does") from None
    return body


def _detail(answer: httpx.Response) -> str:
    """What a problem says, on one line."""
    try:
        problem = orjson.loads(answer.content)
        text = str(problem["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = f"the server answers {answer.status_code} {answer.reason_phrase}"
    return " ".join(text.split())[:500]


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _reasons(answer: httpx.Response, tasks: int) -> Iterator[tuple[int, str]]:
    """The tasks that a 422 is about, by their place, and why: of each task the first reason."""
    try:
        errors = orjson.loads(answer.content)["errors"]
        found = [(*error["field"].split(".", 2), error["message"]) for error in reversed(errors)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return
    for head, *place, reason in found:
        if head == "tasks" and place and place[0].isdigit() and int(place[0]) < tasks:
            yield int(place[0]), f"{'.'.join(place[1:])} {reason}".strip()


def _refuse(batch: Batch, reasons: dict[int, str], summary: Summary) -> None:
    for index, reason in sorted(reasons.items()):
        trace, line, _ = batch.parcels[index]
        summary.refuse(Refused(trace, line, reason))
