"""Failing imports from the command line: interrupted, killed, without a server, refused in part."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from benchmarks.incidents import traces, write_xes
from tests.fork_server import COMMAND_LINE, fork_server
from tests.integration.stack import Stack
from tests.integration.xes_by_another_route import cases
from tests.ports import free_port
from tests.waiting import eventually_sync

TASKS, EVENTS = 1_200, 10_500
LIMIT_S = 120


class User:
    """An importing user of the command line."""

    def __init__(self, stack: Stack, url: str | None = None) -> None:
        self.stack = stack
        self.name = f"importer-{uuid4().hex[:8]}"
        self.url = url or stack.urls[0]

    def start(self, file: Path, *options: str) -> subprocess.Popen[str]:
        """Start an import."""
        environment = self.stack.environment | {
            "TASKTAPE_URL": self.url,
            "TASKTAPE_TOKEN": self.stack.token(self.name),
        }
        return subprocess.Popen(
            [fork_server(COMMAND_LINE).program, "import", str(file), *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, file: Path, *options: str) -> tuple[int, str, str]:
        """Import, and return exit status and output."""
        started = self.start(file, *options)
        out, err = started.communicate(timeout=LIMIT_S)
        return started.returncode, out, err

    def summary(self, file: Path) -> dict[str, Any]:
        """Import without errors, and return the summary."""
        status, out, err = self.run(file, "--json")
        assert (status, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found

    def get(self, path: str, **query: Any) -> Any:
        """Read over HTTP."""
        headers = {"Authorization": f"Bearer {self.stack.token(self.name)}"}
        return httpx.get(self.stack.urls[1] + path, params=query, headers=headers, timeout=30).json()

    def titles(self, list_id: str) -> set[str]:
        """Return the titles of a list's tasks, at most 200."""
        return {task["title"] for task in self.get("/api/tasks", list_id=list_id, limit=200)["items"]}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an event log that takes a few seconds to import."""
    path = tmp_path_factory.mktemp("trouble") / "trouble.xes.gz"
    write_xes(path, traces(TASKS, EVENTS))
    return path


def log_size(stack: Stack) -> int:
    """Return the number of records in the log."""
    ends: dict[str, int] = httpx.get(f"{stack.urls[0]}/readyz", timeout=30).json()["log"]
    return sum(ends.values())


def interrupted(user: User, log: Path, how: signal.Signals) -> tuple[int, str]:
    """Start an import and send it a signal when a part has been written."""
    before = log_size(user.stack)
    started = user.start(log)
    eventually_sync(lambda: log_size(user.stack) > before + 1_000, LIMIT_S)
    started.send_signal(how)
    _, err = started.communicate(timeout=LIMIT_S)
    return started.returncode, err


def completed(user: User, log: Path) -> None:
    """Import again, and check that existing and added events make the whole, each version once."""
    again = user.summary(log)
    assert again["added"] + again["present"] == again["events"] == EVENTS
    assert (again["diverged"], again["refused"]) == (0, 0)
    assert again["present"] > 0
    last = user.summary(log)
    assert (last["added"], last["present"]) == (0, EVENTS)
    expected = cases(log)
    for task in user.get("/api/tasks", list_id=again["list"]["id"], limit=200)["items"]:
        assert task["version"] == len(expected[task["title"]])
        assert task["stage"] == expected[task["title"]][-1].stage


def test_interrupted_import_continues(running_stack: Stack, log: Path) -> None:
    """Ctrl-C: one line and 130; running it again adds exactly what is missing."""
    user = User(running_stack)
    status, err = interrupted(user, log, signal.SIGINT)
    assert status == 130
    assert err.strip() == "Interrupted. Imported tasks stay; run the same command again to continue."
    completed(user, log)


def test_killed_import_continues(running_stack: Stack, log: Path) -> None:
    """As after kill -9, or a power failure."""
    user = User(running_stack)
    assert interrupted(user, log, signal.SIGKILL)[0] == -signal.SIGKILL
    completed(user, log)


def test_import_continues_after_a_restart_of_the_server(running_stack: Stack, log: Path) -> None:
    """By itself; nothing is written twice into a history."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    node = running_stack.start_api(port)
    user = User(running_stack, url)
    before = log_size(running_stack)
    started = user.start(log, "--json")
    eventually_sync(lambda: log_size(running_stack) > before + 1_000, LIMIT_S)
    node.kill()
    node = running_stack.start_api(port)
    out, err = started.communicate(timeout=LIMIT_S)
    assert (started.returncode, err) == (0, "")
    summary = json.loads(out)
    assert (summary["tasks"], summary["events"]) == (TASKS, EVENTS)
    assert summary["added"] + summary["present"] == EVENTS
    completed(user, log)
    node.stop()
    running_stack.urls.remove(url)


# --- refused ---------------------------------------------------------------------------------------------


def trace(name: str, time: str = "2012-05-05T14:54:27Z") -> str:
    """Return a trace on four lines."""
    event = f'<event><date key="time:timestamp" value="{time}"/></event>'
    return f'<trace>\n<string key="concept:name" value="{name}"/>\n{event}\n</trace>\n'


def test_refused_traces_are_named(running_stack: Stack, tmp_path: Path) -> None:
    """With their lines, and nothing of them is imported; the others are; the status is 1."""
    user, file = User(running_stack), tmp_path / "some.xes"
    file.write_text("<log>\n" + trace("good") + trace("bad", "soon") + trace("also good") + "</log>")
    status, out, err = user.run(file)
    assert (status, err) == (1, "")
    assert "1 refused:" in out
    assert "trace 'bad', line 8: time:timestamp 'soon' is not a date and time" in out
    status, out, _ = user.run(file, "--json")
    summary = json.loads(out)
    assert (status, summary["tasks"], summary["added"]) == (1, 2, 0)
    assert user.titles(summary["list"]["id"]) == {"good", "also good"}


def test_broken_xml_ends_the_import(running_stack: Stack, tmp_path: Path) -> None:
    """With the trace and the line; earlier traces are imported."""
    user, file = User(running_stack), tmp_path / "broken.xes"
    file.write_text(
        "<log>\n" + trace("good") + trace("bad").replace("</event>", "") + trace("after") + "</log>"
    )
    status, out, err = user.run(file, "--json", "--list", "My list")
    summary = json.loads(out)
    assert (status, err) == (1, "")
    assert summary["refusals"] == [{"trace": "bad", "line": 9, "reason": "mismatched tag"}]
    assert summary["list"]["name"] == "My list"
    assert user.titles(summary["list"]["id"]) == {"good"}


def test_file_of_another_kind_makes_no_list(running_stack: Stack, tmp_path: Path) -> None:
    """It is refused in one line."""
    user, file = User(running_stack), tmp_path / "page.html"
    file.write_text("<html></html>")
    status, out, err = user.run(file)
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        f"Nothing to import in {file}",
        "  1 refused:",
        "    line 1: not an XES log: its root is <html>",
    ]
    assert [found["inbox"] for found in user.get("/api/lists")["items"]] == [True]


def in_one_line(user: User, file: Path, *options: str) -> str:
    """Return the error line of a failing import."""
    status, out, err = user.run(file, *options)
    assert (status, out) == (1, "")
    [line] = err.splitlines()
    return line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (lambda _: ["--token", "x"], "the token is not a JSON Web Token"),
        (lambda _: ["--url", f"http://127.0.0.1:{free_port()}"], "cannot be reached"),
        (lambda stack: ["--url", stack.urls[0] + "/elsewhere"], "there is no resource at this address"),
    ],
)
def test_unusable_server_or_token_is_reported_in_one_line(
    running_stack: Stack, tmp_path: Path, options: Callable[[Stack], list[str]], line: str
) -> None:
    """Soon."""
    file = tmp_path / "some.xes"
    file.write_text("<log>" + trace("A") + "</log>")
    assert line in in_one_line(User(running_stack), file, *options(running_stack))


@pytest.mark.parametrize(
    "arguments", [["nowhere.xes"], ["."], [], [__file__, "--format", "abc"], [__file__, "--list", ""]]
)
def test_wrong_usage_is_status_2(running_stack: Stack, arguments: list[str]) -> None:
    """For example a missing file."""
    environment = running_stack.environment | {"TASKTAPE_URL": running_stack.urls[0], "TASKTAPE_TOKEN": "x"}
    done = subprocess.run(
        [fork_server(COMMAND_LINE).program, "import", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "Error: " in done.stderr


def test_terminal_shows_a_progress_bar(running_stack: Stack, log: Path) -> None:
    """By the file's bytes, up to the end; without a terminal there is none, as in other tests."""
    user = User(running_stack)
    terminal, theirs = pty.openpty()
    environment = running_stack.environment | {
        "TASKTAPE_URL": user.url,
        "TASKTAPE_TOKEN": running_stack.token(user.name),
        "TERM": "xterm",
    }
    started = subprocess.Popen(
        [fork_server(COMMAND_LINE).program, "import", str(log)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(terminal):
        shown += chunk
    os.close(terminal)
    started.communicate(timeout=LIMIT_S)
    assert started.returncode == 0
    assert b"trouble.xes.gz" in shown
    assert b"100%" in shown
    assert shown.count(b"%") > 3


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that nobody writes to it any more
        return b""
