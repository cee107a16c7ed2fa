"""A whole import against a server that is made up: batches, patience, refusals, and the summary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from app.positions import parse_positions
from tasktape.importers import server as server_module
from tasktape.importers.batches import BATCH_BYTES, BATCH_TASKS
from tasktape.importers.files import ImportFile
from tasktape.importers.run import IN_FLIGHT, import_xes
from tasktape.importers.server import Destination, ImportServer, ImportStopped
from tasktape.importers.summary import MAX_NAMED, Summary
from tasktape.importers.xes import Refused

Answer = Callable[[dict[str, Any]], httpx.Response | None]


class MadeUpServer:
    """Takes everything, unless `answer` says otherwise for a request; remembers what it was asked."""

    def __init__(self, answer: Answer | None = None, *, limit_bytes: int = 10**9) -> None:
        self._answer = answer
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._at_once = 0
        self.most_at_once = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[httpx.Headers] = []
        self.taken: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self._serve(request)
        finally:
            with self._lock:
                self._at_once -= 1

    def _serve(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            self.headers.append(request.headers)
            return httpx.Response(200, json={})
        body = orjson.loads(request.content)
        with self._lock:
            self.bodies.append(body)
            self.headers.append(request.headers)
        answer = self._answer(body) if self._answer else None
        if answer is not None:
            return answer
        if len(request.content) > self._limit_bytes:
            return httpx.Response(413, json={"detail": "too large"})
        tasks = body.get("tasks", [])
        with self._lock:
            self.taken += tasks
            offset = len(self.taken)
        events = sum(len(task["events"]) for task in tasks)
        counts = {"tasks": len(tasks), "events": events, "added": events, "present": 0, "diverged": []}
        return httpx.Response(200, json={"list_id": "L", "positions": {"0": offset}, **counts})


def in_turn(*answers: httpx.Response | None) -> Answer:
    """These answers to the first requests, and the usual one to all later ones."""
    rest = iter(answers)
    return lambda _: next(rest, None)


def trace(name: str, events: int = 2, *, time: str = "2012-05-05T14:54:27Z") -> str:
    """A trace of an XES file, on a line of its own."""
    event = f'<event><date key="time:timestamp" value="{time}"/></event>'
    return f'<trace><string key="concept:name" value="{name}"/>{event * events}</trace>\n'


def run(
    folder: Path, made_up: MadeUpServer, traces: Iterable[str], *, end: str = "</log>"
) -> tuple[Destination | None, Summary]:
    """Import a file with these traces."""
    path = folder / "log.xes"
    path.write_text("<log>\n" + "".join(traces) + end, encoding="utf-8")
    summary = Summary()
    seen: list[int] = []
    with (
        httpx.Client(transport=httpx.MockTransport(made_up), base_url="http://made-up") as http,
        ImportFile(path) as file,
    ):
        to = import_xes(file, ImportServer(http, "run-1"), "log", summary, seen.append)
    assert seen == sorted(seen)
    return to, summary


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repetitions come at once."""
    monkeypatch.setattr(server_module, "RETRY_DELAYS_S", (0.0, 0.0))


def test_everything_is_sent_once_in_bounded_batches(tmp_path: Path) -> None:
    """Small tasks by number, large ones by size, never more requests at once than agreed."""
    made_up = MadeUpServer()
    names = [f"T{number}" for number in range(3 * BATCH_TASKS + 7)]
    to, summary = run(tmp_path, made_up, [*map(trace, names), trace("large", 3_000), trace("larger", 5_000)])
    assert to == Destination("L", {0: 0})
    assert sorted(task["key"] for task in made_up.taken) == sorted([*names, "large", "larger"])
    assert made_up.bodies[0] == {"list": {"name": "log"}}
    for body in made_up.bodies[1:]:
        assert body["list"] == {"id": "L"}
        assert len(body["tasks"]) <= BATCH_TASKS
        assert len(orjson.dumps(body)) < BATCH_BYTES + 1_000 or len(body["tasks"]) == 1
    assert 1 <= made_up.most_at_once <= IN_FLIGHT
    assert (summary.tasks, summary.added) == (len(names) + 2, 2 * len(names) + 8_000)
    assert summary.positions == {0: len(names) + 2}
    assert {headers["X-Correlation-ID"] for headers in made_up.headers} == {"run-1"}
    assert [headers.get("Tasktape-Position") for headers in made_up.headers[:3]] == [None, "0:0", "0:0"]


def test_names_that_come_again_are_told_apart(tmp_path: Path) -> None:
    """The n-th trace of a name is the n-th task of that key, counting those that are refused for now."""
    made_up = MadeUpServer()
    traces = [trace("A"), trace("B"), trace("A"), trace("A", time="x"), trace("A")]
    _, summary = run(tmp_path, made_up, traces)
    assert sorted((task["key"], task["nth"]) for task in made_up.taken) == [
        ("A", 0),
        ("A", 1),
        ("A", 3),
        ("B", 0),
    ]
    assert summary.refusals == [Refused("A", 5, "time:timestamp 'x' is not a date and time")]


def test_nothing_to_import_makes_no_list(tmp_path: Path) -> None:
    """A file that is no log, or has no events, asks nothing of the server."""
    made_up = MadeUpServer()
    to, summary = run(tmp_path, made_up, [trace("A", 0), trace("B", time="x")])
    assert (to, summary.empty, summary.refused, made_up.bodies) == (None, 1, 1, [])


def test_what_came_before_broken_xml_is_imported(tmp_path: Path) -> None:
    """The trace that the file breaks in is refused, those before it are in."""
    made_up = MadeUpServer()
    _, summary = run(tmp_path, made_up, [trace("A"), trace("B").replace("</trace>", "")], end="<")
    assert [task["key"] for task in made_up.taken] == ["A"]
    assert [(each.trace, each.line, each.ends) for each in summary.refusals] == [("B", 4, True)]


@pytest.mark.parametrize("trouble", [503, 502, 429, "away"])
def test_patience(tmp_path: Path, trouble: int | str) -> None:
    """What fails for now is sent again, and then looks at all that was written meanwhile."""
    fails = iter([False, True, True])

    def answer(_: dict[str, Any]) -> httpx.Response | None:
        if not next(fails, False):
            return None
        if isinstance(trouble, str):
            raise httpx.ConnectError(trouble)
        return httpx.Response(trouble, json={"detail": "not now"})

    made_up = MadeUpServer(answer)
    _, summary = run(tmp_path, made_up, [trace("A")])
    assert (len(made_up.bodies), len(made_up.taken), summary.tasks) == (4, 1, 1)
    assert [headers.get("Tasktape-Position") for headers in made_up.headers] == [None, "0:0", None, None]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (httpx.Response(401, json={"detail": "the token\nhas expired"}), "the token has expired"),
        (httpx.Response(403, json={"detail": "no"}), "no"),
        (httpx.Response(404, text="<html>"), "the server answers 404 Not Found"),
        (httpx.Response(200, text="<html>"), "http://made-up/api/import does not answer as Tasktape does"),
        (httpx.Response(422, json={"errors": [{"field": "list.name", "message": "x"}], "detail": "d"}), "d"),
    ],
)
def test_what_stops_an_import(tmp_path: Path, answer: httpx.Response, line: str) -> None:
    """What the server refuses for good is one line, whether it comes at the beginning or later."""
    for refused in (1, 2):
        made_up = MadeUpServer(in_turn(*[None] * (refused - 1), answer))
        with pytest.raises(ImportStopped) as caught:
            run(tmp_path, made_up, (trace(f"T{number}") for number in range(5 * BATCH_TASKS)))
        assert str(caught.value) == line
        assert len(made_up.bodies) <= refused + 2 * IN_FLIGHT


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there is not waited for, one that went away is, for a while."""
    monkeypatch.setattr(server_module, "CALL_S", 0.05)
    monkeypatch.setattr(server_module, "PATIENCE_S", 0.2)

    def away(_: dict[str, Any]) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ImportStopped, match="http://made-up can't be reached: refused"):
        run(tmp_path, MadeUpServer(away), [trace("A")])
    asked = iter([None])
    gone = MadeUpServer(lambda body: next(asked, away) and away(body))
    with pytest.raises(ImportStopped, match="can't be reached"):
        run(tmp_path, gone, [trace("A")])
    assert len(gone.bodies) > 2


def test_bodies_that_are_too_large_are_halved(tmp_path: Path) -> None:
    """A server with a lower limit gets smaller batches; a task beyond the limit is refused alone."""
    made_up = MadeUpServer(limit_bytes=2_000)
    names = [f"T{number}" for number in range(60)]
    _, summary = run(tmp_path, made_up, [*map(trace, names), trace("large", 40)])
    assert sorted(task["key"] for task in made_up.taken) == sorted(names)
    assert summary.refusals == [Refused("large", 62, "its history is larger than the server takes at once")]
    assert summary.tasks == 60


def test_tasks_that_the_server_refuses_are_named(tmp_path: Path) -> None:
    """A 422 is about some tasks: those are refused with trace and line, the others are sent again."""

    def answer(body: dict[str, Any]) -> httpx.Response | None:
        bad = [n for n, task in enumerate(body.get("tasks", [])) if task["key"] in ("B", "D")]
        fields = [f"tasks.{n}.events.{place}.actor" for n in bad for place in (0, 1)]
        errors = [{"field": field, "message": "is wrong"} for field in fields]
        return httpx.Response(422, json={"detail": "x", "errors": errors}) if bad else None

    made_up = MadeUpServer(answer)
    _, summary = run(tmp_path, made_up, map(trace, "ABCD"))
    assert sorted(task["key"] for task in made_up.taken) == ["A", "C"]
    assert summary.refusals == [
        Refused("B", 3, "events.0.actor is wrong"),
        Refused("D", 5, "events.0.actor is wrong"),
    ]


def test_waiting_until_all_is_visible() -> None:
    """The last question asks for every position that was reached, as often as it takes."""
    answers = iter([503, 503])

    def serve(request: httpx.Request) -> httpx.Response:
        assert parse_positions(request.headers["Tasktape-Position"]) == {0: 7, 3: 9}
        return httpx.Response(next(answers, 200), json={})

    summary = Summary(positions={0: 7, 3: 9})
    with httpx.Client(transport=httpx.MockTransport(serve), base_url="http://made-up") as http:
        server = ImportServer(http, "run-1")
        assert server.wait_visible(Destination("L", {}), summary)


def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read models that do not move are not waited for without end."""
    monkeypatch.setattr(server_module, "PATIENCE_S", 0.05)
    transport = httpx.MockTransport(lambda _: httpx.Response(503, json={"detail": "not yet visible"}))
    with httpx.Client(transport=transport, base_url="http://made-up") as http:
        assert not ImportServer(http, "run-1").wait_visible(Destination("L", {}), Summary())


def test_a_summary_is_bounded() -> None:
    """However much is refused or diverged, only so much of it is remembered."""
    summary = Summary()
    for number in range(MAX_NAMED + 5):
        summary.refuse(Refused(str(number), number, "x"))
    counts = {"tasks": 3, "events": 3, "added": 0, "present": 0, "positions": {}}
    for _ in range(MAX_NAMED):
        summary.take({**counts, "diverged": ["a", "b", "c"]})
    assert (summary.refused, len(summary.refusals)) == (MAX_NAMED + 5, MAX_NAMED)
    assert (summary.diverged, len(summary.diverged_tasks)) == (3 * MAX_NAMED, MAX_NAMED)
