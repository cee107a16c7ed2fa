"""Documents compared with the code: names, options, links and tables."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from api.contract.message_schemas import FROM_CLIENT, FROM_SERVER, type_of
from api.http.problems import KINDS
from api.protocol import client_messages, close_codes, server_messages
from api.transports.websocket import connection
from app.log.records import EVENT_CLASSES
from app.settings import CLIENT_NAMES, Settings
from app.tasks.events import TaskCreated
from app.tasks.fields import EDITED_FIELDS
from tasktape.cli import main
from tasktape.cli.search import QueryVerb

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if path.relative_to(ROOT).parts[0] not in {"node_modules", ".venv"}
)
REFERENCE = ROOT / "docs" / "reference"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def git_grep(pattern: str) -> list[str]:
    """Return the lines of tracked files that match. The patterns are written so that they do not match
    themselves."""
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode in {0, 1}, found.stderr
    return found.stdout.splitlines()


def table_rows(text: str) -> Iterator[list[str]]:
    """Return the rows of a document's tables, without the lines below headings."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# --- what no file may say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["pypi[.]org", "pythonhosted[.]org", "npmjs[.](org|com)", "maven[.](apache[.])?org"]
)
def test_no_file_names_a_registry(host: str) -> None:
    """Packages may come from mirrors."""
    assert git_grep(host) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert git_grep("(^|[^A-Za-z0-9_.~-])/(wor[k]|roo[t]|home/[a-z]+|Users/[A-Za-z]+)/") == []


# --- links -----------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_have_targets(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{name_of(document)} links to {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(document)} links to {target}"


def test_every_document_is_reachable_from_the_readme() -> None:
    found, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        document = todo.pop()
        if document in found:
            continue
        found.add(document)
        links = re.findall(r"\]\(([^)\s#]+\.md)[^)]*\)", document.read_text())
        todo += [(document.parent / link).resolve() for link in links if "://" not in link]
    assert set(DOCUMENTS) - found == set()


# --- commands --------------------------------------------------------------------------------------------


def shell_commands(text: str) -> Iterator[list[str]]:
    """Return the simple commands of a text's shell blocks and inline code, as words."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    blocks = re.findall(r"^[ ]*```sh\n(.*?)^[ ]*```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`((?:tasktape|make) [a-z][^`\n]*)`", prose)
    for source in [*blocks, *inline]:
        for line in source.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in lexer:
                if set(word) <= set("|&;()<>"):
                    yield words
                    words = []
                else:
                    words.append(word)
            yield words


def uses_of(program: str) -> list[Any]:
    """Return every use of a program in the documents: place and arguments."""
    uses = [
        (name_of(document), words[words.index(program) + 1 :])
        for document in DOCUMENTS
        for words in shell_commands(document.read_text())
        if program in words
    ]
    return [pytest.param(*use, id=f"{use[0]}: {' '.join(use[1])}") for use in uses]


@pytest.mark.parametrize(("where", "arguments"), uses_of("tasktape"))
def test_shown_commands_exist(where: str, arguments: list[str]) -> None:
    context = click.Context(main, info_name="tasktape")
    command: click.Command | None = main
    words = iter(arguments)
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            inner = command.get_command(context, word)
            if inner is None and command is not main:
                continue
            assert inner is not None, f"{where}: there is no `tasktape {word}`"
            command = inner
        elif word.startswith("-") and word != "-":
            assert command is not None
            if isinstance(command, QueryVerb) and not word.startswith("--"):
                continue
            known = {name for parameter in command.get_params(context) for name in parameter.opts}
            assert word.partition("=")[0] in known, f"{where}: `{command.name}` has no {word}"


@pytest.mark.parametrize(("where", "arguments"), uses_of("make"))
def test_shown_make_targets_exist(where: str, arguments: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [word for word in arguments if "=" not in word and not word.startswith("-")]
    assert set(named) <= targets, where


# --- references ------------------------------------------------------------------------------------------


def shown_default(value: object) -> str:
    """Return a setting's default as in the table."""
    if value is None or value == ():
        return ""
    return f"`{','.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    settings = {str(field.alias): shown_default(field.default) for field in Settings.model_fields.values()}
    clients = dict.fromkeys(CLIENT_NAMES, "")
    rows = [row for row in table_rows((REFERENCE / "configuration.md").read_text()) if row[0] != "name"]
    assert {row[0].strip("`"): row[1] for row in rows} == settings | clients
    assert len(rows) == len(settings | clients)


def test_every_field_of_a_task_is_in_the_reference() -> None:
    described = (REFERENCE / "tasks.md").read_text().partition("## Fields")[2].partition("\n## ")[0]
    assert {name for row in table_rows(described) for name in re.findall(r"`(\w+)`", row[0])} == set(
        EDITED_FIELDS
    )


def test_every_event_type_is_in_the_reference_with_its_fields() -> None:
    rows = {
        row[0].strip("`"): row[1]
        for row in table_rows((REFERENCE / "events.md").read_text())
        if len(row) == 2
    }
    for event in EVENT_CLASSES:
        assert event.type in rows
        for field in fields(event):
            if event is TaskCreated and field.name in EDITED_FIELDS:
                continue  # The event refers to the table of fields.
            assert f"`{field.name}`" in rows[event.type], f"{event.type} {field.name}"
            required = field.default is MISSING
            nullable = "None" in str(field.type)
            assert (f"`{field.name}`?" in rows[event.type]) == (nullable and not required)


def test_every_message_is_in_the_reference_with_its_fields() -> None:
    text = (REFERENCE / "websocket.md").read_text()
    rows = defaultdict[str, str](str)
    for row in table_rows(text):
        for name in re.findall(r"`(\w+)`", row[0]):
            rows[name] += " ".join(row[1:])
    for model in [*FROM_CLIENT, *FROM_SERVER]:
        name = type_of(model)
        for field in set(model.model_fields) - {"id", "type"}:
            assert f"`{field}`" in rows[name], f"{name} {field}"


def test_contents_of_messages_are_in_the_reference() -> None:
    text = (REFERENCE / "websocket.md").read_text()
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`", text))))
    for model in (server_messages.Limits, server_messages.PresentUser, server_messages.SystemStats):
        assert set(model.model_fields) <= named
    assert set(client_messages.SUBPROTOCOLS) <= set(re.findall(r"`([\w.]+)`", text))
    kinds = {row[0].strip("`") for row in table_rows(text) if len(row) == 2}
    assert set(get_args(client_messages.SignalKind)) <= kinds


def test_every_close_code_is_in_the_reference() -> None:
    text = (REFERENCE / "websocket.md").read_text()
    documented = {int(row[0]) for row in table_rows(text) if row[0].isdigit()}
    farewells = [value for module in (connection, close_codes) for value in vars(module).values()]
    codes = {value.code for value in farewells if isinstance(value, close_codes.CloseReason)}
    assert documented == codes | {close_codes.BAD_TOKEN, close_codes.BAD_MESSAGE}


def test_every_error_is_in_the_reference() -> None:
    rows = [row for row in table_rows((REFERENCE / "http.md").read_text()) if row[0].isdigit()]
    documented = {(code, int(row[0])) for row in rows for code in re.findall(r"`(\w+)`", row[1])}
    assert documented == {(error.code, kind.status) for error, kind in KINDS.items()}


# --- records of the project ------------------------------------------------------------------------------


@pytest.mark.parametrize("adr", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=name_of)
def test_decisions_have_their_sections(adr: Path) -> None:
    headings = re.findall(r"^## (.*)$", adr.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives"]
    assert adr.read_text().startswith(f"# {adr.name[:4]} ")


def test_files_named_in_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("## Where do I") : text.index("## Glossary")]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "--" not in line][1:]
    assert len(rows) >= 10
    for row in rows:
        folder = ""
        for name in re.findall(r"`([\w/.]+(?:\.py|/|\.yml|\.example))`", row):
            folder = name.rpartition("/")[0] if "/" in name else folder
            path = name if "/" in name or (ROOT / name).exists() else f"{folder}/{name}"
            assert (ROOT / path).exists(), path
