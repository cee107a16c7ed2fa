"""Published schemas of events: they describe every record, and changes that old records cannot pass fail."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jsonschema
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, ValidationError
from referencing import Registry, Resource

from api.contract.event_schemas import ADVICE, latest, main, read_files
from api.contract.schema_samples import samples
from app import bounds
from app.errors import Undecodable
from app.log.event_types import EventType, EventTypes, event_types
from app.log.records import EVENT_TYPES, encode
from app.log.upcasters import Upcaster
from app.tasks.events import TaskCommented
from tests.integration.documents import ROOT, blocks
from tests.published_schemas import VALIDATORS, published
from tests.spec import record_of
from tests.thoroughness import examples

GOLDEN = Path(__file__).parents[2] / "golden" / "records"
SCHEMAS = published()


def readable(event_type: EventType[Any], dataschema: str, data: Any) -> bool:
    """Return whether the decoder reads this data."""
    try:
        event_type.read(dataschema, json.dumps(data).encode())
    except (ValidationError, Undecodable):
        return False
    return True


def test_every_version_of_every_event_type_has_a_schema() -> None:
    """By the `ce_dataschema` of its records, with a title of its own."""
    expected = {
        f"urn:tasktape:{each.name}:{version}"
        for each in EVENT_TYPES.values()
        for version in range(1, each.version + 1)
    }
    assert SCHEMAS.keys() == expected
    assert len({schema["title"] for schema in SCHEMAS.values()}) == len(SCHEMAS)
    for schema in SCHEMAS.values():
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        VALIDATORS[schema["$id"]].check_schema(schema)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_golden_record_is_valid_by_its_schema(path: Path) -> None:
    """A registry of JSON Schemas finds that by the header."""
    held = json.loads(path.read_text())
    dataschema, data = held["headers"]["ce_dataschema"], json.loads(held["value"])
    registry = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
    )
    assert registry.contents(dataschema)["$id"] == dataschema
    VALIDATORS[dataschema].validate(data)
    assert readable(EVENT_TYPES[held["headers"]["ce_type"]], dataschema, data)


@pytest.mark.parametrize("dataschema", SCHEMAS)
def test_samples_of_a_schema_are_read(dataschema: str) -> None:
    """Each field, branch and bound, in every version."""
    event_type = EVENT_TYPES[dataschema.split(":")[2]]
    for sample in samples(SCHEMAS[dataschema]):
        VALIDATORS[dataschema].validate(sample)
        assert readable(event_type, dataschema, sample)


# The decoder strips the names of stages, and a `$` of Python's allows a line feed.
TEXTS = st.text("aé\U0001f600", max_size=4) | st.sampled_from(["x" * number for number in (101, 129, 2_001)])
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from([2**53, 2**53 + 1, 0.5, 1.0]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def changed(data: st.DataObject, value: Any) -> Any:
    """Return a value with another value, or nothing, in some place of it."""
    if not value or not isinstance(value, dict | list) or data.draw(st.integers(0, 3)) == 0:
        return data.draw(ODD)
    if isinstance(value, list):
        place = data.draw(st.integers(0, len(value) - 1))
        if data.draw(st.booleans()):
            return value * data.draw(st.sampled_from([2, 201]))
        return [*value[:place], changed(data, value[place]), *value[place + 1 :]]
    name = data.draw(st.sampled_from(sorted(value)))
    if data.draw(st.integers(0, 3)) == 0:
        return {other: kept for other, kept in value.items() if other != name}
    return {**value, data.draw(st.sampled_from([name, name, "x"])): changed(data, value[name])}


@settings(max_examples=examples(10), deadline=None)
@pytest.mark.parametrize("dataschema", SCHEMAS)
@given(st.data())
def test_decoder_and_schema_agree(dataschema: str, data: st.DataObject) -> None:
    """On types, bounds, required and unknown fields."""
    event_type = EVENT_TYPES[dataschema.split(":")[2]]
    tried = changed(data, data.draw(st.sampled_from(samples(SCHEMAS[dataschema]))))
    valid = VALIDATORS[dataschema].is_valid(tried)
    if dataschema == event_type.dataschema or valid:
        assert readable(event_type, dataschema, tried) == valid, tried


# --- the check -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Painted:
    """An event as it was released."""

    type: ClassVar[str] = "wall.painted"
    colour: Annotated[str, Field(max_length=20)]
    coats: int = 1


@dataclass(frozen=True, slots=True)
class Varnished:
    """The event with another optional field."""

    type: ClassVar[str] = "wall.painted"
    colour: Annotated[str, Field(max_length=20)]
    coats: int = 1
    gloss: bool = False


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The event with a changed field, and without another."""

    type: ClassVar[str] = "wall.painted"
    colour: Annotated[str, Field(max_length=10)]


@dataclass(frozen=True, slots=True)
class Priced:
    """The event with another required field."""

    type: ClassVar[str] = "wall.painted"
    colour: Annotated[str, Field(max_length=20)]
    price: int
    coats: int = 1


def visible(text: str) -> str:
    assert text
    return text


@dataclass(frozen=True, slots=True)
class Visible:
    """The event with a rule that no schema shows."""

    type: ClassVar[str] = "wall.painted"
    colour: Annotated[str, Field(max_length=20), AfterValidator(visible)]
    coats: int = 1


def types_of(event: type[Any], *upcasters: Upcaster) -> EventTypes[Any]:
    """Return the only event type of a program."""
    return event_types([event], {event.type: upcasters})


def priced(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "price": 0}


Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in an empty folder, and return the lines that it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    Path("schemas").mkdir()

    def program(mode: str, event: type[Any], *upcasters: Upcaster) -> list[str]:
        status = main([mode], types_of(event, *upcasters), Path("schemas"))
        lines = capsys.readouterr().err.splitlines()
        assert status == bool(lines)
        return lines

    return program


def commit() -> None:
    """Commit everything in the working directory."""
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "All"]):
        subprocess.run(["git", *author, *arguments], check=True)


def test_written_schemas_are_up_to_date(run: Run) -> None:
    assert run("--check", Painted) == ["schemas/wall.painted/1.json is out of date; run `make format`"]
    assert run("--write", Painted) == []
    assert run("--check", Painted) == []
    assert read_files(Path("schemas")) == latest(types_of(Painted))


def test_optional_field_is_added_to_the_version(run: Run) -> None:
    run("--write", Painted)
    assert run("--check", Varnished) == ["schemas/wall.painted/1.json is out of date; run `make format`"]
    assert run("--write", Varnished) == []
    assert run("--check", Varnished) == []


@pytest.mark.parametrize("committed", [False, True])
def test_change_that_old_records_cannot_pass_is_refused(run: Run, *, committed: bool) -> None:
    """One line for each field, by both; nothing is written."""
    run("--write", Painted)
    if committed:
        commit()
    before = read_files(Path("schemas"))
    lines = [
        f"wall.painted 1: colour: maxLength 10 is narrower than 20; {ADVICE}",
        f"wall.painted 1: coats: the field is gone; {ADVICE}",
    ]
    for mode in ("--check", "--write", "--check"):
        assert run(mode, Narrowed) == lines
    assert read_files(Path("schemas")) == before


def test_validator_that_refuses_old_records_is_refused(run: Run) -> None:
    """As far as samples of the schema show it."""

    run("--write", Painted)
    [line] = run("--check", Visible)
    assert line == f'wall.painted 1: colour: Assertion failed, assert \'\', in {{"colour": ""}}; {ADVICE}'


def test_committed_schema_counts_and_not_that_on_disk(run: Run) -> None:
    """So a removed or edited file hides nothing, and what was never committed binds nobody."""
    run("--write", Painted)
    commit()
    file = Path("schemas/wall.painted/1.json")
    file.unlink()
    assert "coats: the field is gone" in run("--write", Narrowed)[1]
    assert run("--write", Varnished) == []
    assert run("--write", Painted) == []
    file.write_text(latest(types_of(Narrowed))["wall.painted/1.json"])
    assert "coats: the field is gone" in run("--check", Narrowed)[1]


def test_upcaster_makes_a_new_version(run: Run) -> None:
    """The earlier one stays as it was."""
    run("--write", Painted)
    commit()
    first = Path("schemas/wall.painted/1.json").read_text()
    assert run("--check", Priced)[0].startswith("wall.painted 1: price: the field is required and new; ")
    assert run("--check", Priced, priced) == ["schemas/wall.painted/2.json is out of date; run `make format`"]
    assert run("--write", Priced, priced) == []
    assert run("--check", Priced, priced) == []
    assert Path("schemas/wall.painted/1.json").read_text() == first
    commit()
    assert run("--check", Priced) == [
        f"wall.painted 1: price: the field is required and new; {ADVICE}",
        "wall.painted 2: its upcaster is gone, and the log has events of this version",
    ]


@pytest.mark.parametrize(
    ("upcaster", "expected"),
    [
        (lambda data: data, "price: Field required, after upcasting from version 1"),
        (lambda data: {**data, "price": data["coats"]}, "failed: KeyError: 'coats'"),
        (lambda data: {"price": 1}, "colour: Field required, after upcasting from version 1"),
        (lambda data: {**priced(data), "colour": data["colour"] * 2}, "colour: .* at most 20 characters"),
    ],
)
def test_upcaster_whose_result_is_invalid_is_refused(run: Run, upcaster: Upcaster, expected: str) -> None:
    """With a record that it cannot read."""
    run("--write", Painted)
    [line, *_] = run("--write", Priced, upcaster)
    assert re.match(f'wall.painted 1: .*{expected}.*, in {{"colour": .*; correct the upcaster$', line)


def test_earlier_version_must_not_change(run: Run) -> None:
    run("--write", Painted)
    commit()
    run("--write", Priced, priced)
    file = Path("schemas/wall.painted/1.json")
    file.write_text(file.read_text() + " ")
    assert run("--check", Priced, priced) == [
        "schemas/wall.painted/1.json has changed; restore it, because nothing writes this version any more"
    ]
    file.unlink()
    assert run("--write", Priced, priced) == [
        "schemas/wall.painted/1.json is missing; restore it, because the log has events of this version"
    ]


def test_event_type_must_not_go(run: Run) -> None:
    run("--write", Painted)

    @dataclass(frozen=True, slots=True)
    class Other:
        type: ClassVar[str] = "wall.pulled_down"

    assert run("--write", Other) == [
        "wall.painted: the event type is gone; the log has events of it, so keep its class"
    ]


@pytest.mark.parametrize("name", ["notes.txt", "wall.painted/x.json", "wall.painted/3.json"])
def test_other_files_do_not_belong_there(run: Run, name: str) -> None:
    run("--write", Painted)
    commit()
    Path("schemas", name).write_text("{}")
    assert run("--check", Painted) == [f"schemas/{name} is of no version of an event type; remove it"]


def test_file_that_is_no_schema_is_named(run: Run) -> None:
    """For instance one with marks of a merge."""
    run("--write", Painted)
    commit()
    file = Path("schemas/wall.painted/1.json")
    file.write_text("<<<<<<< HEAD")
    assert run("--check", Painted) == ["schemas/wall.painted/1.json is out of date; run `make format`"]
    assert run("--write", Painted) == []
    file.write_text("<<<<<<< HEAD")
    commit()
    assert run("--write", Painted) == ["schemas/wall.painted/1.json is not a JSON object; restore it"]


# --- the documents ---------------------------------------------------------------------------------------


def test_documented_check_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the reference: by the schema that a record names."""
    monkeypatch.chdir(ROOT)
    shown: dict[str, Any] = {}
    [block] = blocks("docs/reference/events.md", "Schemas", "python")
    exec(compile(block, "events.md", "exec", dont_inherit=True), shown)
    key, value, headers = encode(record_of(TaskCommented("c", "t"), 2))
    event = from_binary_event(KafkaMessage(dict(headers), key, value))
    shown["check"](event)
    event = from_binary_event(KafkaMessage(dict(headers), key, b"{}"))
    with pytest.raises(jsonschema.ValidationError, match="'comment_id' is a required property"):
        shown["check"](event)


def test_documented_upcaster_reads_the_version_before(run: Run) -> None:
    """As in the how-to: the check refuses the change, and accepts it with the upcaster."""

    @dataclass(frozen=True, slots=True)
    class Commented:
        type: ClassVar[str] = "task.commented"
        comment_id: bounds.Id
        body: bounds.Text
        mentions: bounds.Many[bounds.UserName] = ()
        notify: bounds.Many[bounds.UserName] = ()

    page = "docs/how-to/change-an-event.md"
    shown: dict[str, Any] = {}
    [block] = blocks(page, language="python")
    names = "from collections.abc import *; from typing import Any; from app.log.upcasters import Upcaster\n"
    exec(names + block, shown)
    [upcaster] = shown["UPCASTERS"]["task.commented"]
    run("--write", TaskCommented)
    refused = run("--write", Commented)
    assert f"\n{refused[0]}\n" in (ROOT / page).read_text()
    assert run("--write", Commented, upcaster) == []
    assert run("--check", Commented, upcaster) == []
    event_type = types_of(Commented, upcaster)["task.commented"]
    old = b'{"comment_id":"c","text":"t","notify":["bob"]}'
    assert event_type.read("urn:tasktape:task.commented:1", old) == Commented("c", "t", (), ("bob",))
