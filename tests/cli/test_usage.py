"""Refusals and ends of verbs: one line, and an exit status."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fork_server import COMMAND_LINE, fork_server


def run(*arguments: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a verb without a running instance."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKTAPE_")}
    return subprocess.run(
        [fork_server(COMMAND_LINE).program, *arguments],
        env=kept | {"TASKTAPE_DATA": str(data)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("lst",), "No such command 'lst'. Did you mean list or lists? (tasktape --help says more)"),
        (("xyzzy",), "No such command 'xyzzy'. (tasktape --help says more)"),
        (("lists", "renam"), "No such command 'renam'. Did you mean rename?"),
        (("dead-letters", "rety"), "No such command 'rety'. Did you mean retry?"),
        (("add", "x", "--priorty", "high"), "No such option: --priorty Did you mean --priority?"),
        (("add",), "Missing argument 'TEXT...'."),
        (("list", "--sort", "colour"), "Invalid value for '--sort': 'colour' is not one of"),
        (("list", "--limit", "many"), "Invalid value for '--limit': 'many' is not a valid integer range."),
        (("edit", "ffffffff"), "Nothing runs on"),
        (("completion", "tcsh"), "Invalid value for '{bash|zsh|fish}': 'tcsh' is not one of"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], line: str, tmp_path: Path) -> None:
    """Exit 2, with a suggestion, if there is one, and the command for help."""
    done = run(*arguments, data=tmp_path)
    assert done.returncode == (1 if "Nothing runs" in line else 2)
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: {line}")
    assert len(done.stderr.splitlines()) == 1


def complete(shell: str, *words: str, data: Path) -> list[str]:
    """Return what completes the last word in a shell."""
    done = run(
        data=data,
        _TASKTAPE_COMPLETE=f"{shell}_complete",
        COMP_WORDS=" ".join(("tasktape", *words)),
        COMP_CWORD=str(len(words)),
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_verbs_and_options_are_completed_without_a_server(tmp_path: Path) -> None:
    """Names are not, silently."""
    assert complete("bash", "li", data=tmp_path) == ["list", "lists"]
    assert "--priority" in complete("bash", "add", "--pr", data=tmp_path)
    assert complete("bash", "list", "--list", "I", data=tmp_path) == []
    assert complete("bash", "done", "abc", data=tmp_path) == []


def test_bash_completes_with_the_printed_function(tmp_path: Path) -> None:
    """Called as bash calls it."""
    folder = fork_server(COMMAND_LINE).programs
    script = (
        'eval "$(tasktape completion bash)"; complete -p tasktape;'
        " COMP_WORDS=(tasktape lists re); COMP_CWORD=2; _tasktape_completion tasktape;"
        ' echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "TASKTAPE_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].endswith("-F _tasktape_completion tasktape")
    assert set(done.stdout.splitlines()[1].split()) == {"rename", "restore"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_completion_too(shell: str, tmp_path: Path) -> None:
    """It asks the program with the words of the line."""
    done = run("completion", shell, data=tmp_path)
    assert done.returncode == 0
    assert f"_TASKTAPE_COMPLETE={shell}_complete" in done.stdout
