"""Import of a real incident log through the command line, the log and the read models, compared with another
parser.

7,554 incidents with 65,533 events of a car maker. Without that file next to the repository, a generated one
of the same shape is used.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.log.records import RawRecord, source_of
from app.settings import Settings
from benchmarks.incidents import traces, write_xes
from streams.event_log import KafkaEventLog
from tasktape.cli.audit_sql import table_lines
from tasktape_client.models import SqlResult
from tests.fork_server import COMMAND_LINE, fork_server
from tests.integration.documents import blocks
from tests.integration.incident_replay import CheckedReplay
from tests.integration.shell import Shell
from tests.integration.stack import Stack
from tests.integration.statistics_by_pandas import (
    ZONE,
    counts_by_day,
    frame_of,
    last_steps,
    quantiles,
)
from tests.integration.terminal import shown_in_terminal
from tests.integration.xes_by_another_route import Step, cases

REAL = Path(__file__).parents[3] / "shared" / "data" / "bpic2013_incidents.xes.gz"
TASKS, EVENTS = 7_554, 65_533
SOME = 500
IMPORT_LIMIT_S = 180
NAMED = "(select id from lists where name = 'Incidents')"
AUDIT = "docs/how-to/audit.md"


@dataclass(frozen=True)
class Imported:
    """Log after its first import: the command's output, and the expectations of another parser."""

    stack: Stack
    user: str
    file: Path
    summary: dict[str, Any]
    cases: dict[str, list[Step]]

    @property
    def list_id(self) -> str:
        """Return the id of the list that it was imported into."""
        found: str = self.summary["list"]["id"]
        return found

    def client(self) -> httpx.Client:
        """Return a client signed in as the importing user."""
        headers = {"Authorization": f"Bearer {self.stack.token(self.user)}"}
        return httpx.Client(base_url=self.stack.urls[1], headers=headers, timeout=30)

    def again(self) -> dict[str, Any]:
        """Import the file again."""
        return run_import(self.stack, self.user, self.file)


def run_import(stack: Stack, user: str, file: Path) -> dict[str, Any]:
    """Import a file as a user does, and return the output."""
    environment = stack.environment | {"TASKTAPE_URL": stack.urls[0], "TASKTAPE_TOKEN": stack.token(user)}
    done = subprocess.run(
        [fork_server(COMMAND_LINE).program, "import", str(file), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=IMPORT_LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


async def records_after(log: KafkaEventLog, user: str, ends: Mapping[int, int]) -> list[RawRecord]:
    """Return the records of a user's imports after these ends; other tests write to the same log."""
    source = source_of("import", user).encode()
    return [
        raw
        for partition, end in (await log.ends()).items()
        async for batch in log.read(partition, ends[partition], end)
        for raw in batch
        if dict(raw.headers).get("ce_source") == source
    ]


@pytest.fixture(scope="module")
def incidents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the incident log."""
    if REAL.exists():
        return REAL
    path = tmp_path_factory.mktemp("incidents") / "bpic2013_incidents.xes.gz"
    write_xes(path, traces(TASKS, EVENTS))
    return path


@pytest.fixture(scope="module")
def imported(running_stack: Stack, incidents: Path) -> Imported:
    """Return the incident log, imported once."""
    user = f"importer-{uuid4().hex[:8]}"
    summary = run_import(running_stack, user, incidents)
    return Imported(running_stack, user, incidents, summary, cases(incidents))


async def test_ten_questions_have_the_answers_of_the_page(imported: Imported) -> None:
    """A generated log has other answers."""
    page = "docs/how-to/audit-sql.md"
    questions = [each for each in blocks(page) if "'Incidents'" in each]
    assert len(questions) == 10
    async with imported.stack.client("admin", admin=True) as client:
        for question, shown in zip(questions, blocks(page, language="text"), strict=True):
            sql = question.split("SQL'\n")[1].removesuffix("SQL\n").replace(NAMED, f"'{imported.list_id}'")
            answer = await client.post("/api/audit/sql", json={"sql": sql})
            assert answer.status_code == 200, answer.text
            lines = table_lines(SqlResult.model_validate(answer.json()))
            text = "".join(f"{line}\n" for line in lines)
            assert text == shown or imported.file != REAL, question


def all_tasks(imported: Imported) -> dict[str, dict[str, Any]]:
    """Return every task of the list over HTTP, by title."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    with imported.client() as client:
        while True:
            query = {"list_id": imported.list_id, "limit": "200", **({"cursor": cursor} if cursor else {})}
            page = client.get("/api/tasks", params=query).raise_for_status().json()
            found |= {task["title"]: task for task in page["items"]}
            cursor = page["next_cursor"]
            if cursor is None:
                return found


def history_of(client: httpx.Client, task_id: str) -> list[dict[str, Any]]:
    """Return a task's whole history over HTTP."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": "50", **({"cursor": cursor} if cursor else {})}
        page = client.get(f"/api/tasks/{task_id}/history", params=query).raise_for_status().json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_all_tasks_and_events_are_imported(imported: Imported) -> None:
    """As many as in the file, all visible, in a list named after the file."""
    summary = imported.summary
    assert (len(imported.cases), sum(map(len, imported.cases.values()))) == (TASKS, EVENTS)
    assert (summary["tasks"], summary["events"], summary["added"]) == (TASKS, EVENTS, EVENTS)
    assert (summary["present"], summary["refused"], summary["diverged"], summary["empty"]) == (0, 0, 0, 0)
    assert summary["visible"] is True
    assert summary["list"]["name"] == "bpic2013_incidents"
    with imported.client() as client:
        found = client.get(f"/api/lists/{imported.list_id}").json()
    assert (found["name"], found["members"]) == ("bpic2013_incidents", {imported.user: "owner"})


def test_every_task_matches_its_case(imported: Imported) -> None:
    """Stage, status, owner, version and times of every task."""
    tasks = all_tasks(imported)
    assert tasks.keys() == imported.cases.keys()
    for name, steps in imported.cases.items():
        task, first, last = tasks[name], steps[0], steps[-1]
        assert (task["stage"], task["status"]) == (last.stage, "done" if last.done else "open"), name
        assert (task["assignees"], task["created_by"]) == ([last.actor], first.actor), name
        assert task["version"] == len(steps), name
        assert (moment(task["created_at"]), moment(task["updated_at"])) == (first.time, last.time), name
        assert (task["completed_at"] is not None) == last.done, name


def moment(text: str) -> datetime:
    """Return a time of the API, which is in UTC."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def test_ten_complete_histories_match(imported: Imported) -> None:
    """Events in order with their own times and actors, the importing user, and their changes."""
    names = sorted(imported.cases, key=lambda name: len(imported.cases[name]))
    picked = {names[0], names[-1], *names[:: len(names) // 8]}
    assert len(picked) >= 10
    tasks = all_tasks(imported)
    with imported.client() as client:
        for name in picked:
            compare(history_of(client, tasks[name]["id"]), imported.cases[name], imported.user)


def compare(history: list[dict[str, Any]], steps: list[Step], user: str) -> None:
    """Compare one history with that of the other parser."""
    assert [event["version"] for event in history] == list(range(1, len(steps) + 1))
    assert [moment(event["time"]) for event in history] == [step.time for step in steps]
    assert [event["actor"] for event in history] == [step.actor for step in steps]
    assert {event["source"] for event in history} == {f"/tasktape/import/{user}"}
    assert {event["outcome"] for event in history} == {"accepted"}
    assert len({event["correlation_id"] for event in history}) == 1
    assert min(moment(event["recorded_at"]) for event in history) > steps[-1].time
    stage, assignees, done = None, None, False
    for event, step in zip(history, steps, strict=True):
        assert event["type"] == expected_type(event["version"], done=done, step=step)
        _, stage = event["changes"].get("stage", (None, stage))
        _, assignees = event["changes"].get("assignees", (None, assignees))
        assert (stage, assignees) == (step.stage, [step.actor])
        done = step.done


def expected_type(version: int, *, done: bool, step: Step) -> str:
    """Return the event type of a step."""
    if version == 1:
        return "task.created"
    if done == step.done:
        return "task.edited"
    return "task.completed" if step.done else "task.reopened"


def test_past_state_of_an_imported_task(imported: Imported) -> None:
    """In the middle of its history, by its own times."""
    name = max(imported.cases, key=lambda each: len(imported.cases[each]))
    steps, task = imported.cases[name], all_tasks(imported)[name]
    middle = max(n for n in range(len(steps) // 2 + 1) if steps[n].time < steps[n + 1].time)
    with imported.client() as client:
        then = client.get(f"/api/tasks/{task['id']}", params={"as_of": steps[middle].time.isoformat()}).json()
    assert (then["version"], then["stage"]) == (middle + 1, steps[middle].stage)


async def test_repeated_import_adds_nothing(imported: Imported) -> None:
    """Not a record to the log."""
    with imported.client() as client:
        [task] = client.get("/api/tasks", params={"list_id": imported.list_id, "limit": 1}).json()["items"]
        assert history_of(client, task["id"])[0]["source"] == source_of("import", imported.user)
    settings = Settings.from_environment(imported.stack.environment)
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    ends = await log.ends()
    again = await asyncio.to_thread(imported.again)
    assert (again["added"], again["present"], again["events"]) == (0, EVENTS, EVENTS)
    assert again["list"] == imported.summary["list"]
    assert await records_after(log, imported.user, ends) == []
    await log.close()


def test_uncompressed_file_is_the_same_log(imported: Imported, tmp_path: Path) -> None:
    """Under another name for the same list, it adds nothing either."""
    plain = tmp_path / "bpic2013_incidents.xes"
    *traces, _ = gzip.decompress(imported.file.read_bytes()).split(b"</trace>", SOME)
    plain.write_bytes(b"".join(trace + b"</trace>" for trace in traces) + b"</log>")
    again = run_import(imported.stack, imported.user, plain)
    assert (again["added"], again["present"] > SOME) == (0, True)
    assert again["list"] == imported.summary["list"]


def test_statistics_match_pandas(imported: Imported) -> None:
    """Counts of every day in a zone with summer time, times, and the flow by stage and by owner."""
    frame = frame_of(imported.cases)
    first, last = str(frame["day"].min()), str(frame["day"].max())
    params = {"list_id": imported.list_id, "from": first, "to": last, "time_zone": ZONE}
    with imported.client() as client:
        by_stage, by_owner = (
            client.get("/api/stats", params={**params, "group_by": group}).raise_for_status().json()
            for group in ("stage", "assignee")
        )
    days = {day["date"]: day for day in by_stage["days"]}
    for name in ("created", "completed", "reopened"):
        assert {day: counts[name] for day, counts in days.items() if counts[name]} == counts_by_day(
            frame, name
        )
    order = list(days)
    assert (order[0], order[-1]) == (first, last)
    for day in (*order[::97], last):
        steps = last_steps(frame, day)
        place = order.index(day)
        assert (days[day]["open"], days[day]["done"]) == ((~steps["done"]).sum(), steps["done"].sum())
        flow = {band["stage"]: band["tasks"][place] for band in by_stage["cumulative_flow"]}
        assert {stage: count for stage, count in flow.items() if count} == steps[
            "stage"
        ].value_counts().to_dict()
        owners = steps[~steps["done"]]["actor"].value_counts()
        found = {group["key"]: group["open"][place] for group in by_owner["groups"]}
        assert found == {key: owners.get(key, 0) for key in found}
    for name, expected in quantiles(frame).items():
        assert list(by_stage[name].values()) == pytest.approx(expected, rel=1e-9, abs=1e-3)


async def test_whole_log_replays_at_100_000x(imported: Imported) -> None:
    """Over a socket and in a terminal: each event once, in order, up to the list as it is now."""
    stack = imported.stack
    token, replay = stack.token(imported.user), CheckedReplay(imported.list_id)
    environment = stack.environment | {"TASKTAPE_URL": stack.urls[0], "TASKTAPE_TOKEN": token}
    part = ("--list", imported.list_id, "--speed", "100000x", "--max-gap", "0.001")  # 15 s in all
    _, shown = await asyncio.gather(
        replay.play(stack.ws_url(1), token, speed=100_000, max_gap_ms=1),
        shown_in_terminal("replay", *part, environment=environment, columns=400),
    )
    tasks = await asyncio.to_thread(all_tasks, imported)
    assert replay.events == EVENTS + 1  # with the creation of the list
    assert replay.board == {task["id"]: task for task in tasks.values()}
    _, found, last_board = shown.rpartition(f"{EVENTS + 1:,} events")
    assert found
    for stage, count in Counter(task["stage"] for task in tasks.values()).most_common(3):
        assert f"{stage} ({count})" in last_board


async def test_audit_answers_as_documented(imported: Imported, tmp_path: Path) -> None:
    """The commands of the page, with the answers that it shows; a generated log has other incidents."""
    shell = Shell(imported.stack, tmp_path, imported.user)
    commands, answers = blocks(AUDIT)[:4], blocks(AUDIT, language="text")
    is_real = imported.file == REAL
    incident, week = "1-364285768", "--time-from 2012-03-05 --time-to 2012-03-12 "
    for command, answer in zip(commands, answers, strict=True):
        line = command.replace("--list Incidents", f"--list {imported.list_id}")
        if not is_real:
            [title, [step, *_]] = next(iter(imported.cases.items()))
            person = shlex.quote(step.actor)
            line = line.replace(incident, title).replace("Frederic", person).replace(week, "")
        printed = await shell.works(*shlex.split(line)[1:])
        assert printed
        if is_real:
            assert without_positions(dedent(printed)) == without_positions(answer)


def without_positions(lines: str) -> str:
    """Leave out what depends on the other tasks of the log."""
    return re.sub(r"Z  \d+:\d+  ", "Z  ", lines)
