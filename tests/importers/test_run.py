"""Complete imports with a scripted server: batches, retries, refusals, and the summary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from app.positions import parse_positions
from tasktape.importers.batches import BATCH_BYTES, BATCH_TASKS
from tasktape.importers.files import ImportFile
from tasktape.importers.run import IN_FLIGHT, import_xes
from tasktape.importers.server import Destination, ImportServer
from tasktape.importers.summary import MAX_NAMED, Summary
from tasktape.importers.xes import Refused
from tasktape_client import Client, Patience, TasktapeError
from tasktape_client.models import Imported

Answer = Callable[[dict[str, Any]], httpx.Response | None]


class ScriptedServer:
    """Accepts everything, unless `answer` says otherwise for a request; records the requests."""

    def __init__(self, answer: Answer | None = None, *, limit_bytes: int = 10**9) -> None:
        self._answer = answer
        self._limit_bytes = limit_bytes
        self._at_once = 0
        self.most_at_once = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[httpx.Headers] = []
        self.taken: list[dict[str, Any]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        for _ in range(20):  # it is on its way for a while, and others can be too
            await asyncio.sleep(0)
        try:
            return self._serve(request)
        finally:
            self._at_once -= 1

    def _serve(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        self.bodies.append(body)
        self.headers.append(request.headers)
        answer = self._answer(body) if self._answer else None
        if answer is not None:
            return answer
        if len(request.content) > self._limit_bytes:
            return httpx.Response(413, json={"detail": "too large"})
        tasks = body.get("tasks", [])
        self.taken += tasks
        events = sum(len(task["events"]) for task in tasks)
        counts = {"tasks": len(tasks), "events": events, "added": events, "present": 0, "diverged": []}
        return httpx.Response(200, json={"list_id": "L", "positions": {"0": len(self.taken)}, **counts})


def in_turn(*answers: httpx.Response | None) -> Answer:
    """Return the given answers to the first requests, and the usual one to all later ones."""
    rest = iter(answers)
    return lambda _: next(rest, None)


def trace(name: str, events: int = 2, *, time: str = "2012-05-05T14:54:27Z") -> str:
    """Return a trace of an XES file, on a line of its own."""
    event = f'<event><date key="time:timestamp" value="{time}"/></event>'
    return f'<trace><string key="concept:name" value="{name}"/>{event * events}</trace>\n'


QUICK = Patience(unanswered_s=1, limit_s=5, first_delay_s=0.0)


def client_of(handler: Any, patience: Patience = QUICK) -> Client:
    return Client("http://made-up", "t", patience=patience, transport=httpx.MockTransport(handler))


async def run(
    folder: Path,
    server: ScriptedServer,
    traces: Iterable[str],
    *,
    end: str = "</log>",
    patience: Patience = QUICK,
) -> tuple[Destination | None, Summary]:
    """Import a file with these traces."""
    path = folder / "log.xes"
    path.write_text("<log>\n" + "".join(traces) + end, encoding="utf-8")
    summary = Summary()
    seen: list[int] = []
    async with client_of(server, patience) as client:
        with ImportFile(path) as file:
            to = await import_xes(file, ImportServer(client, "run-1"), "log", summary, seen.append)
    assert seen == sorted(seen)
    return to, summary


async def test_everything_is_sent_once_in_bounded_batches(tmp_path: Path) -> None:
    """Small tasks by number, large ones by size, with a bounded number of concurrent requests."""
    server = ScriptedServer()
    names = [f"T{number}" for number in range(3 * BATCH_TASKS + 7)]
    to, summary = await run(
        tmp_path, server, [*map(trace, names), trace("large", 3_000), trace("larger", 5_000)]
    )
    assert to == Destination("L", {0: 0})
    assert sorted(task["key"] for task in server.taken) == sorted([*names, "large", "larger"])
    assert server.bodies[0] == {"list": {"name": "log"}, "tasks": []}
    for body in server.bodies[1:]:
        assert body["list"] == {"id": "L"}
        assert len(body["tasks"]) <= BATCH_TASKS
        assert len(orjson.dumps(body)) < BATCH_BYTES + 1_000 or len(body["tasks"]) == 1
    assert 1 <= server.most_at_once <= IN_FLIGHT
    assert (summary.tasks, summary.added) == (len(names) + 2, 2 * len(names) + 8_000)
    assert summary.positions == {0: len(names) + 2}
    assert {headers["X-Correlation-ID"] for headers in server.headers} == {"run-1"}
    assert [headers.get("Tasktape-Position") for headers in server.headers[:3]] == [None, "0:0", "0:0"]


async def test_repeated_names_are_numbered(tmp_path: Path) -> None:
    """The n-th trace of a name is the n-th task of that key, including refused ones."""
    server = ScriptedServer()
    traces = [trace("A"), trace("B"), trace("A"), trace("A", time="x"), trace("A")]
    _, summary = await run(tmp_path, server, traces)
    assert sorted((task["key"], task["nth"]) for task in server.taken) == [
        ("A", 0),
        ("A", 1),
        ("A", 3),
        ("B", 0),
    ]
    assert summary.refusals == [Refused("A", 5, "time:timestamp 'x' is not a date and time")]


async def test_empty_import_makes_no_list(tmp_path: Path) -> None:
    """A file that is no log, or has no events, causes no request."""
    server = ScriptedServer()
    to, summary = await run(tmp_path, server, [trace("A", 0), trace("B", time="x")])
    assert (to, summary.empty, summary.refused, server.bodies) == (None, 1, 1, [])


async def test_traces_before_broken_xml_are_imported(tmp_path: Path) -> None:
    """The trace that the file breaks in is refused."""
    server = ScriptedServer()
    _, summary = await run(tmp_path, server, [trace("A"), trace("B").replace("</trace>", "")], end="<")
    assert [task["key"] for task in server.taken] == ["A"]
    assert [(each.trace, each.line, each.ends) for each in summary.refusals] == [("B", 4, True)]


@pytest.mark.parametrize("trouble", [503, 502, 429, "away"])
async def test_temporary_failures_are_retried(tmp_path: Path, trouble: int | str) -> None:
    """And then all writes in between are considered."""
    fails = iter([False, True, True])

    def answer(_: dict[str, Any]) -> httpx.Response | None:
        if not next(fails, False):
            return None
        if isinstance(trouble, str):
            raise httpx.ConnectError(trouble)
        return httpx.Response(trouble, json={"detail": "not now"})

    server = ScriptedServer(answer)
    _, summary = await run(tmp_path, server, [trace("A")])
    assert (len(server.bodies), len(server.taken), summary.tasks) == (4, 1, 1)
    assert [headers.get("Tasktape-Position") for headers in server.headers] == [None, "0:0", None, None]


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
async def test_permanent_refusal_ends_the_import_in_one_line(
    tmp_path: Path, answer: httpx.Response, line: str
) -> None:
    """At the beginning or later."""
    for refused in (1, 2):
        server = ScriptedServer(in_turn(*[None] * (refused - 1), answer))
        with pytest.raises(TasktapeError) as caught:
            await run(tmp_path, server, (trace(f"T{number}") for number in range(5 * BATCH_TASKS)))
        assert str(caught.value) == line
        assert len(server.bodies) <= refused + 2 * IN_FLIGHT


async def test_retries_end_after_a_time_limit(tmp_path: Path) -> None:
    """An unavailable server is awaited for a while."""
    patience = Patience(unanswered_s=0.05, limit_s=0.2, first_delay_s=0.0)

    def away(_: dict[str, Any]) -> httpx.Response:
        raise httpx.ConnectError("refused")

    asked = iter([None])
    gone = ScriptedServer(lambda body: next(asked, away) and away(body))
    with pytest.raises(TasktapeError, match="http://made-up cannot be reached: refused"):
        await run(tmp_path, gone, [trace("A")], patience=patience)
    assert len(gone.bodies) > 2


async def test_too_large_bodies_are_halved(tmp_path: Path) -> None:
    """For a server with a lower limit; a task beyond the limit is refused alone."""
    server = ScriptedServer(limit_bytes=2_000)
    names = [f"T{number}" for number in range(60)]
    _, summary = await run(tmp_path, server, [*map(trace, names), trace("large", 40)])
    assert sorted(task["key"] for task in server.taken) == sorted(names)
    assert summary.refusals == [Refused("large", 62, "its history is larger than the server takes at once")]
    assert summary.tasks == 60


async def test_refused_tasks_are_named(tmp_path: Path) -> None:
    """A 422 names tasks: those are refused with trace and line, the others are sent again."""

    def answer(body: dict[str, Any]) -> httpx.Response | None:
        bad = [n for n, task in enumerate(body.get("tasks", [])) if task["key"] in ("B", "D")]
        fields = [f"tasks.{n}.events.{place}.actor" for n in bad for place in (0, 1)]
        errors = [{"field": field, "message": "is wrong"} for field in fields]
        return httpx.Response(422, json={"detail": "x", "errors": errors}) if bad else None

    server = ScriptedServer(answer)
    _, summary = await run(tmp_path, server, map(trace, "ABCD"))
    assert sorted(task["key"] for task in server.taken) == ["A", "C"]
    assert summary.refusals == [
        Refused("B", 3, "events.0.actor is wrong"),
        Refused("D", 5, "events.0.actor is wrong"),
    ]


async def test_import_waits_until_everything_is_visible() -> None:
    """The last request has every reached position, and is repeated as needed."""
    answers = iter([503, 503])

    def serve(request: httpx.Request) -> httpx.Response:
        assert parse_positions(request.headers["Tasktape-Position"]) == {0: 7, 3: 9}
        return httpx.Response(next(answers, 200), json={})

    async with client_of(serve) as client:
        assert await ImportServer(client, "run-1").wait_visible(Summary(positions={0: 7, 3: 9}))


async def test_waiting_for_visibility_is_bounded() -> None:
    """Read models without progress are not awaited for ever."""
    behind = httpx.Response(503, json={"detail": "not yet visible"})
    async with client_of(lambda _: behind, Patience(limit_s=0.01, unanswered_s=0.01)) as client:
        assert not await ImportServer(client, "run-1").wait_visible(Summary(), limit_s=0.05)


async def test_token_that_expires_while_waiting_is_reported() -> None:
    """It is not mistaken for late read models."""
    expired = httpx.Response(401, json={"detail": "the token has expired"})
    async with client_of(lambda _: expired) as client:
        with pytest.raises(TasktapeError, match="expired"):
            await ImportServer(client, "run-1").wait_visible(Summary())


def test_summary_is_bounded() -> None:
    """However much is refused or diverged."""
    summary = Summary()
    for number in range(MAX_NAMED + 5):
        summary.refuse(Refused(str(number), number, "x"))
    imported = Imported(
        list_id="L", tasks=3, events=3, added=0, present=0, diverged=("a", "b", "c"), positions={}
    )
    for _ in range(MAX_NAMED):
        summary.take(imported)
    assert (summary.refused, len(summary.refusals)) == (MAX_NAMED + 5, MAX_NAMED)
    assert (summary.diverged, len(summary.diverged_tasks)) == (3 * MAX_NAMED, MAX_NAMED)
