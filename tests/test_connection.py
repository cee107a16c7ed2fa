"""Server and user of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import click
import jwt
import pytest

from tasktape.cli.connection import Connection, find_connection
from tasktape.cli.imports import name_of

LOCAL = "http://127.0.0.1:8000"
SECRET = "a-secret-for-tests-that-is-long-enough"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset all variables, which a test may set."""
    for name in (
        "TASKTAPE_URL",
        "TASKTAPE_TOKEN",
        "TASKTAPE_DATA",
        "JWT_SECRET",
        "JWT_ISSUER",
        "JWT_AUDIENCE",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """Return the data folder of a running local instance."""
    (tmp_path / "run.json").write_text(json.dumps({"url": LOCAL}))
    (tmp_path / "secret").write_text(SECRET + "\n")
    return tmp_path


def test_default_is_the_local_instance(running: Path) -> None:
    """As the user of the operating system."""
    found = find_connection(None, None, running)
    assert callable(found.token)
    claims = jwt.decode(found.token(), SECRET, algorithms=["HS256"], audience="tasktape", issuer="tasktape")
    assert found.url == LOCAL
    assert claims["sub"]
    assert claims["admin"] is True


def test_options_override_the_environment(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option, else the environment, else the local instance."""
    monkeypatch.setenv("TASKTAPE_URL", "https://set.example")
    monkeypatch.setenv("TASKTAPE_TOKEN", "set")
    assert find_connection(None, None, running) == Connection("https://set.example", "set")
    assert find_connection("http://x/", "given", running) == Connection("http://x", "given")


def test_other_server_gets_no_local_token(running: Path) -> None:
    """The local secret signs for the local instance only."""
    with pytest.raises(click.ClickException, match="--token"):
        find_connection("https://elsewhere.example", None, running)


def test_missing_server_is_one_line(tmp_path: Path) -> None:
    """With a remedy."""
    with pytest.raises(click.ClickException, match="tasktape up"):
        find_connection(None, None, tmp_path)
    with pytest.raises(click.BadParameter, match="http://"):
        find_connection("localhost:8000", "t", tmp_path)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("bpic2013_incidents.xes.gz", "bpic2013_incidents"),
        ("a/b/Log of May.XES", "Log of May"),
        ("log.xml", "log"),
        ("log.tar", "log.tar"),
        (".xes.gz", "Import"),
        ("x" * 255, "x" * 200),
    ],
)
def test_lists_are_named_after_files(file: str, name: str) -> None:
    """Without folder and endings, and never empty."""
    assert name_of(Path(file)) == name
