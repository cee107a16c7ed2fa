"""Commands of the README and of the tutorial, run on an instance of their own."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tasktape.local.ports import pick_ports
from tests.integration.documents import search_path
from tests.waiting import eventually_sync

ROOT = Path(__file__).parent.parent.parent
PROGRAM = Path(sys.executable).parent
LIMIT_S = 60


class Shell:
    """A shell in a folder of its own, whose `tasktape` is ours and whose instance is new."""

    def __init__(self, folder: Path) -> None:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TASKTAPE_", "KAFKA_", "DATABASE_", "JWT_"))
        }
        self.port = pick_ports(folder / "ports.json", ("api",))["api"]
        self.folder = folder
        self._environment = inherited | {
            "PATH": search_path(),
            "TASKTAPE_DATA": str(folder / "data"),
            "PORT": str(self.port),
        }

    def start(
        self, command: str, stdout: int | IO[str], stderr: int, path: str | None = None
    ) -> subprocess.Popen[str]:
        """Start a command as in the documents; the port is that of this instance."""
        shown = command.replace(":8000/", f":{self.port}/")
        return subprocess.Popen(
            ["bash", "-euc", f"exec {shown}" if "tasktape watch" in shown else shown],
            cwd=self.folder,
            env=self._environment | ({} if path is None else {"PATH": path}),
            stdout=stdout,
            stderr=stderr,
            text=True,
        )

    def run(self, command: str, path: str | None = None) -> str:
        """Run a command that must succeed, and return its output."""
        process = self.start(command, subprocess.PIPE, subprocess.STDOUT, path)
        printed, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, f"{command}\n{printed}"
        return printed


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("readme")
    # What is in the folder of the repository, where a reader is.
    for name, place in ((".venv", PROGRAM.parent), ("docs", ROOT / "docs")):
        (folder / name).symlink_to(place)
    shell = Shell(folder)
    try:
        yield shell
    finally:
        shell.run("tasktape down")


def commands(document: str, heading: str) -> list[str]:
    """Return the commands of the shell blocks under a heading, without their comments."""
    text = (ROOT / document).read_text()
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+# .*", "", line).strip() for line in lines if line.strip()]


def watched(shell: Shell, command: str, until: str, cause: str, log: Path) -> None:
    """Run `watch` on a terminal until some output appears, then press Ctrl-C."""
    ours, theirs = os.openpty()
    with log.open("w") as output:
        watching = shell.start(command, output, theirs)
    os.close(theirs)
    try:
        readable, _, _ = select.select([ours], [], [], LIMIT_S)
        assert readable, "watch says nothing"
        assert os.read(ours, 1024).startswith(b"Watching http://127.0.0.1:")
        shell.run(cause)
        eventually_sync(lambda: until in log.read_text(), LIMIT_S)
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(LIMIT_S)
        os.close(ours)
    assert watching.returncode == 130


def test_commands_of_the_readme_work(shell: Shell, tmp_path: Path) -> None:
    """Every command of "Use", in order, the program in Python, and the two at the start of the page."""
    up, *rest, curl, python, down = commands("README.md", "Use")
    assert (up, down) == ("tasktape up --detach", "tasktape down")
    # In a shell where nothing is activated, so that the hints have to say more than `tasktape`.
    printed = shell.run(f".venv/bin/{up}", path=os.defpath)
    assert f"http://127.0.0.1:{shell.port}/#token=" in printed
    for hint in hints(printed):
        shell.run(f"{hint} --help" if hint.endswith("watch") else hint, path=os.defpath)
    _, add, watch = commands("README.md", "Tasktape")
    shell.run(add)
    watched(shell, watch, "Call Ann", 'tasktape add "Call Ann"', tmp_path / "watched")
    for command in rest:
        if command != "tasktape watch":
            shell.run(command)
    assert "Write the report" in shell.run("tasktape list")
    incidents = json.loads(shell.run("tasktape list --list incidents --status all --json"))
    assert {task["title"] for task in incidents["items"]} == {"1-364285768", "1-467153946"}
    # Whoever asks with curl is who adds on the command line.
    seen = {task["title"] for task in json.loads(shell.run(f"{curl} --silent"))["items"]}
    assert {"Book a room", "Write the report"} <= seen
    text = (ROOT / "README.md").read_text()
    [program] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (shell.folder / "book.py").write_text(program.replace(":8000", f":{shell.port}"))
    assert "task.created" in shell.run(python)
    [stop] = re.findall(r"Stop it with: (.*)", printed)
    assert stop.endswith(down)
    assert "Stopped" in shell.run(stop, path=os.defpath)


def hints(printed: str) -> list[str]:
    """Return the commands that `up` suggests."""
    found = re.findall(r"· (\S*tasktape .*)", printed)
    assert len(found) == 2
    return found


def test_commands_of_the_tutorial_work(shell: Shell, tmp_path: Path) -> None:
    """Those of its third and fourth step."""
    shell.run("tasktape up --detach")
    activate, watch, _, add, *rest = commands("docs/tutorial.md", "3. From the command line")
    assert activate == ". .venv/bin/activate"
    watched(shell, watch, "Book a room", add, tmp_path / "watched")
    (task,) = [
        task
        for task in json.loads(shell.run("tasktape list --json"))["items"]
        if task["title"] == "Book a room" and task["due"] == "2026-12-01"
    ]
    for command in rest:
        shell.run(command.replace("ID", task["id"][-12:]))
    shown = json.loads(shell.run(f"tasktape show {task['id']} --json"))
    assert (shown["title"], shown["status"]) == ("Book a larger room", "done")
    answer = shell.run("\n".join(commands("docs/tutorial.md", "4. Over HTTP")))
    assert answer.startswith("HTTP/1.1 201 Created")
    assert 'etag: "1"' in answer.lower()
