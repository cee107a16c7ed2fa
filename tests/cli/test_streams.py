"""Command line with unusual streams, encodings, arguments and homes: never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import httpx
import pytest

from tasktape.cli.client import after_commands
from tasktape.cli.streams import OutputFailed, OutputFile
from tasktape_client import Client, TasktapeError

UTF_8: dict[str, str | bytes] = {"LC_ALL": "C.UTF-8"}
TASKTAPE = (sys.executable, "-m", "tasktape")


def run(
    *arguments: str | bytes, shell: str = 'exec "$@"', without: str = "", env: Mapping[str, str | bytes] = {}
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a line of shell."""
    inherited = {
        name: value for name, value in os.environb.items() if name.decode() not in {without, "TASKTAPE_DATA"}
    }
    return subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *TASKTAPE, *arguments],
        env=inherited | {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error that is the only line of standard error."""
    *usage, line = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert all(each.startswith(("Usage:", "Try ")) or not each for each in usage)
    return line


def test_full_disk_is_one_line_and_exit_1() -> None:
    """The output could not be written."""
    done = run("--help", shell='exec "$@" >/dev/full')
    assert one_line(done) == "Error: The output cannot be written: No space left on device"
    assert done.returncode == 1


def test_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """`head` ends before the verb does: the verb was executed."""
    done = run(
        "doctor",
        "--data",
        str(tmp_path / "none"),
        shell='{ "$@"; echo "$?" >&3; } 3>&2 | true',
    )
    assert done.stderr in {"0\n", "1\n"}  # of doctor itself it depends on the machine
    assert run("--help", shell='{ "$@"; echo "$?" >&2; } | head -n 1').stderr == "0\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_replaced(closed: str) -> None:
    """Nothing else is opened in their place and printed to."""
    done = run("--help", shell=f'exec "$@" {closed}')
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_bulk_from_closed_input_is_empty(tmp_path: Path) -> None:
    done = run("bulk", "-", "--data", str(tmp_path), shell='exec "$@" <&-')
    assert "Nothing runs on" in one_line(done)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16", "shift_jis"])
def test_unencodable_characters_are_escaped(encoding: str) -> None:
    """The help text has a character that few encodings have."""
    done = run("api", "--help", env={"PYTHONIOENCODING": encoding}, shell='"$@" | cat -v')
    assert done.stderr == ""
    assert "JWT_SECRET=" in done.stdout.replace("^@", "")


def test_undecodable_argument_is_a_usage_error() -> None:
    """Latin-1 on a UTF-8 terminal."""
    done = run("add", b"caf\xe9", "--url", "http://127.0.0.1:1", "--token", "x", env=UTF_8)
    assert done.returncode == 2
    assert "bytes that are not utf-8 text" in one_line(done)


def test_nested_verbs_require_text_too() -> None:
    done = run("lists", "create", b"caf\xe9", "--url", "http://127.0.0.1:1", "--token", "x", env=UTF_8)
    assert done.returncode == 2
    assert "bytes that are not utf-8 text" in one_line(done)


@pytest.mark.parametrize("name", ["TASKTAPE_URL", "TASKTAPE_TOKEN", "JWT_SECRET"])
def test_undecodable_variable_is_one_line(name: str) -> None:
    given: dict[str, str | bytes] = UTF_8 | {"TASKTAPE_URL": "http://127.0.0.1:1", "TASKTAPE_TOKEN": "x"}
    given[name] = b"http://caf\xe9"
    done = run(*(["token", "--user", "a"] if name == "JWT_SECRET" else ["list"]), env=given)
    assert done.returncode == 1
    assert name in one_line(done)


@pytest.mark.parametrize(
    "arguments", [("status",), ("list",), ("token", "--user", "a"), ("status", "--data", "~nobody-here/x")]
)
def test_missing_home_is_one_line(arguments: tuple[str, ...]) -> None:
    """For a user that the system does not know, as in a container."""
    if os.geteuid() != 0:
        arguments = ("status", "--data", "~nobody-here/x")  # nobody else can become such a user
    shell = 'exec setpriv --reuid 54321 --clear-groups "$@"' if os.geteuid() == 0 else 'exec "$@"'
    done = run(*arguments, without="HOME", shell=shell)
    assert done.returncode == 1
    assert "home folder" in one_line(done)


def test_url_and_token_need_no_home() -> None:
    done = run("list", "--url", "http://127.0.0.1:1", "--token", "x", without="HOME")
    assert "cannot be reached" in one_line(done)


@pytest.mark.parametrize("zone", [b"\xe9", b":", b"../../etc/passwd", b"x" * 5000])
def test_invalid_zone_of_the_machine_is_no_error(zone: bytes) -> None:
    """`TZ` may be anything; then times are those of UTC."""
    done = run("list", "--url", "http://127.0.0.1:1", "--token", "x", env={"TZ": zone})
    assert "cannot be reached" in one_line(done)


@pytest.mark.parametrize(
    "env",
    [
        {"HTTPS_PROXY": "socks5://x:1"},
        {"HTTPS_PROXY": "nonsense://x"},
        {"SSL_CERT_FILE": "/nowhere"},
        {"HTTP_PROXY": "http://[::1"},
    ],
)
def test_invalid_proxy_of_the_environment_is_one_line(env: Mapping[str, str]) -> None:
    """Whatever the client's library raises."""
    done = run("list", "--url", "https://127.0.0.2.invalid", "--token", "x", env=env)
    assert done.returncode == 1
    assert one_line(done).startswith("Error: ")


async def test_failing_output_after_commands_says_that_they_are_done() -> None:
    """So that nobody repeats them."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={}, headers={"Tasktape-Position": "0:1"})

    async with Client("http://tasktape.test", "t", transport=httpx.MockTransport(answer)) as client:
        for is_done in (False, True):
            with pytest.raises(OutputFailed) as caught, after_commands(client):
                raise OutputFailed(OSError(errno.ENOSPC, "No space left on device"))
            assert caught.value.is_done == is_done
            await client.command("POST", "/api/tasks", {})
        shown = "the commands before it are done"
        with pytest.raises(click.ClickException, match=shown), after_commands(client):
            raise TasktapeError("no such task")


def test_failed_output_is_discarded() -> None:
    """It is reported once, and flushing at the end of the process does not raise again."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        file = OutputFile(full.fileno())
        with pytest.raises(OutputFailed, match="No space left on device"):
            file.write(b"one")
        assert file.write(b"two") == 3


def test_failing_output_does_not_interrupt_a_command() -> None:
    """The failure is recorded."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        file = OutputFile(full.fileno(), carries_on=True)
        assert file.write(b"one") == 3
        assert file.failure is not None
        assert not file.failure.reader_gone
