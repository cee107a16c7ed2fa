"""Programs of the page on the Python client, run with the documented output."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import sys
from pathlib import Path
from types import CodeType
from typing import Any
from uuid import uuid4

import pytest

from tasktape_client import Client, Update
from tests.integration.stack import Stack
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "python-client.md"
LIMIT_S = 60


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


async def run(program: str, stack: Stack, user: str) -> str:
    """Run a program with a token in the environment, and return its output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program.replace("http://127.0.0.1:8000", stack.urls[0])),
        env={**os.environ, "TASKTAPE_TOKEN": stack.token(user), "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(LIMIT_S):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def compiled(snippet: str, url: str) -> CodeType:
    """Compile a snippet of a page that may await."""
    snippet = snippet.replace("http://127.0.0.1:8000", url)
    code: CodeType = compile(snippet, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


async def test_first_program_prints_the_documented_output(running_stack: Stack) -> None:
    user = f"alice-{uuid4().hex[:8]}"
    printed = await run(blocks(PAGE, "python")[0], running_stack, user)
    assert printed.replace(user, "alice") == blocks(PAGE, "text")[0]


async def test_program_of_the_readme_creates_a_task_and_receives_it(running_stack: Stack) -> None:
    [program] = blocks(ROOT / "README.md", "python")
    printed = await run(program, running_stack, f"alice-{uuid4().hex[:8]}")
    assert "task.created" in printed
    assert "Book a room" in printed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_snippets_work_in_order(
    running_stack: Stack, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that listen do so while updates happen."""
    user, url = f"alice-{uuid4().hex[:8]}", running_stack.urls[0]
    token = running_stack.token(user)
    collections, resuming, snapshot, replay, tokens, errors, patience = blocks(PAGE, "python")[1:]

    async def my_login() -> str:
        return running_stack.token(user)

    async with Client(url, token) as client:
        task = await client.create_task("Book a room", tags=["office"])
        names: dict[str, Any] = {"client": client, "task": task, "token": token, "my_login": my_login}
        names |= {"Client": Client, "Update": Update}

        def start(snippet: str) -> asyncio.Task[Any]:
            return asyncio.ensure_future(_awaited(eval(compiled(snippet, url), names)))

        printed = ""

        async def until(words: str) -> None:
            def said() -> bool:
                nonlocal printed
                printed += capsys.readouterr().out
                return words in printed

            await eventually(said, LIMIT_S)

        await start(collections)
        await until("Book a room None")
        assert [each.inbox for each in names["everything"]] == [True]
        listening = start(resuming)
        while "task.edited" not in printed:  # until it listens; earlier updates are not delivered
            await client.edit_task(task.id, {"notes": uuid4().hex})
            printed += capsys.readouterr().out
        listening.cancel()
        await asyncio.wait([listening])
        await client.edit_task(task.id, {"title": "Book the room"})
        listening = start(resuming)
        await until("'Book the room'")
        await eventually(lambda: "0" in (here / "positions.json").read_text())
        listening.cancel()
        await asyncio.wait([listening])
        listening = start(snapshot)
        await eventually(lambda: "state" in names)
        renamed = await client.edit_task(task.id, {"title": "Book any room"})
        await eventually(lambda: names["state"][task.id] == renamed)
        listening.cancel()
        await asyncio.wait([listening])
        await start(replay)
        await until("task.edited Book any room")
        assert names["board"][task.id] == renamed
        await start(tokens)
        await until(f"{user}\n")
        names["task"] = await client.task(task.id)
        await start(errors)
        await until("conflict theirs: Book two rooms")
        await start(patience)


async def _awaited(value: Any) -> None:
    if inspect.isawaitable(value):
        await value


def test_page_has_every_call_and_no_other() -> None:
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    documented = {name for line in table for name in re.findall(r"`(\w+)\(", line.split("|")[1])}
    public = {name for name, value in inspect.getmembers(Client, callable) if not name.startswith("_")}
    assert documented == public
