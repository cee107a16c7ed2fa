"""Shell completion of names from a running instance."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from tests.fork_server import COMMAND_LINE, fork_server
from tests.integration.shell import LIMIT_S, Shell
from tests.integration.stack import Stack


@pytest.fixture
def shell(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


async def complete(shell: Shell, *words: str, language: str = "bash") -> list[list[str]]:
    """Return what is offered for the last word: values, for zsh and fish each with its description."""
    shell.environment |= {
        "_TASKTAPE_COMPLETE": f"{language}_complete",
        "COMP_WORDS": " ".join(("tasktape", *words)),
        # fish gives the word itself.
        "COMP_CWORD": words[-1] if language == "fish" else str(len(words)),
    }
    try:
        status, out, err = await shell.run()
    finally:
        for name in ("_TASKTAPE_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
            del shell.environment[name]
    assert (status, err) == (0, "")
    lines = out.splitlines()
    if language == "zsh":
        return [lines[at + 1 : at + 3] for at in range(0, len(lines), 3)]
    return [line.partition(",")[2].split("\t") for line in lines if line]


async def test_names_of_a_running_instance_are_completed(shell: Shell) -> None:
    """Lists, stages, tags, users and tasks of the user that begin with the typed text, in any case."""
    bob = f"bob-{uuid4().hex[:8]}"
    await shell.works("lists", "create", "Garden", "--stage", "Planned", "--stage", "Grown:done")
    await shell.works("lists", "create", "Guest room")
    await shell.works("share", "Garden", bob)
    task = await shell.json("add", "Sow beans", "--list", "Garden", "--tag", "spring", "--tag", "soil")
    end = task["id"][-7:]
    assert await complete(shell, "list", "--list", "g") == [["Garden"], ["'Guest room'"]]
    assert await complete(shell, "lists", "rename", "Ga") == [["Garden"]]
    assert await complete(shell, "add", "x", "--stage", "P") == [["Planned"]]
    assert sorted(await complete(shell, "list", "--tag", "s")) == [["soil"], ["spring"]]
    assert await complete(shell, "unshare", "Garden", "bo") == [[bob]]
    assert await complete(shell, "list", "--assignee", "bo") == [[bob]]
    assert await complete(shell, "done", end[:4]) == [[end]]
    assert await complete(shell, "list", "--list", "Z") == []
    assert await complete(shell, "done", end[:4], language="zsh") == [[end, "Sow beans"]]
    assert await complete(shell, "done", end[:4], language="fish") == [[end, "Sow beans"]]
    assert await complete(shell, "list", "--list", "Gu", language="zsh") == [["Guest room", "1 members"]]


async def test_names_of_another_user_are_not_offered(shell: Shell, running_stack: Stack) -> None:
    """Whoever the line, or the environment, names as the user."""
    other = Shell(running_stack, Path(shell.environment["TASKTAPE_DATA"]))
    await other.works("lists", "create", "Secret garden")
    assert await complete(shell, "list", "--list", "Secret") == []
    token = other.environment["TASKTAPE_TOKEN"]
    for words in (("list", "--token", token, "--list"), ("lists", "--token", token, "rename")):
        assert await complete(shell, *words, "Secret") == [["'Secret garden'"]]


async def test_completion_without_a_server_is_empty_and_silent(shell: Shell) -> None:
    shell.environment["TASKTAPE_URL"] = "http://127.0.0.1:1"
    assert await complete(shell, "list", "--list", "G") == []
    shell.environment["TASKTAPE_TOKEN"] = "nonsense"
    assert await complete(shell, "done", "abc") == []


async def test_bash_inserts_a_name_as_one_word(shell: Shell) -> None:
    """With the function that `tasktape completion bash` prints, called as bash calls it."""
    await shell.works("lists", "create", "Guest room")
    folder = fork_server(COMMAND_LINE).programs
    script = (
        'eval "$(tasktape completion bash)"; COMP_WORDS=(tasktape list --list Gu); COMP_CWORD=3;'
        ' _tasktape_completion tasktape; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        env=shell.environment | {"PATH": f"{folder}:{shell.environment['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        assert await process.communicate() == (b"'Guest room'\n", b"")
