"""AsyncAPI document and TypeScript types: valid, complete, and equal to the copies in the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from api.contract import asyncapi, task_defaults, typescript
from api.contract import message_examples as examples
from api.contract.message_schemas import FROM_CLIENT, FROM_SERVER, message_schemas, type_of

ROOT = Path(__file__).parents[3]
SPECIFICATION = ROOT / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
MODELS = [*FROM_CLIENT, *FROM_SERVER]


def validator_of(name: str) -> Draft7Validator:
    """Return the validator of a schema of the document."""
    registry: Registry[Any] = Registry().with_resource("urn:document", Resource.opaque(asyncapi.document()))
    return Draft7Validator({"$ref": f"urn:document#/components/schemas/{name}"}, registry=registry)


def test_document_is_valid() -> None:
    """According to the specification's own schema."""
    Draft7Validator(json.loads(SPECIFICATION.read_text())).validate(asyncapi.document())


def test_schemas_are_valid_json_schemas() -> None:
    """Of draft 7, which the specification requires."""
    for schema in message_schemas().values():
        Draft7Validator.check_schema(schema)
        assert "prefixItems" not in json.dumps(schema)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_document_has_every_message(model: type) -> None:
    """On the channel, in an operation or a reply, and with valid examples."""
    document = asyncapi.document()
    message = document["components"]["messages"][model.__name__]
    reference = f"#/channels/socket/messages/{model.__name__}"
    assert f'"{reference}"' in json.dumps(document["operations"])
    assert model.__name__ in document["channels"]["socket"]["messages"]
    assert message["name"] == type_of(model)
    assert message["examples"]
    for example in message["examples"]:
        validator_of(model.__name__).validate(example["payload"])


def test_schemas_refuse_invalid_messages() -> None:
    """Messages without their type, or with a field of another type."""
    for shown in (examples.FROM_CLIENT, examples.FROM_SERVER):
        for model, (example, *_) in shown.items():
            validator = validator_of(model.__name__)
            assert not validator.is_valid({**example, "type": "other"})
            assert not validator.is_valid({name: each for name, each in example.items() if name != "type"})
            for name, each in example.items():
                assert not validator.is_valid({**example, name: [each, each, each]}), (model, name)


def test_every_reference_resolves() -> None:
    """Inside the document."""
    document = asyncapi.document()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', asyncapi.text()):
        found = document
        for part in reference.split("/"):
            found = found[part]


def test_close_codes_say_which_clients_reconnect() -> None:
    """One entry for each reason."""
    codes = asyncapi.document()["channels"]["socket"]["x-close-codes"]
    assert all(each["come_back"] == (each["code"] < 4500) for each in codes)
    assert all(("retry_after_ms" in each) == each["come_back"] for each in codes)
    assert len({(each["code"], each["reason"]) for each in codes}) == len(codes)


def test_types_are_named_and_distinct() -> None:
    """One interface for each schema, none numbered because of an equal title, and two unions of messages."""
    text = typescript.text()
    names = re.findall(r"^export interface (\w+) ", text, re.MULTILINE)
    assert sorted(names) == sorted(message_schemas())
    for union, models in (("FromClient", FROM_CLIENT), ("FromServer", FROM_SERVER)):
        declared = text.partition(f"export type {union} =")[2].partition(";")[0]
        assert re.findall(r"\w+", declared) == [model.__name__ for model in models]


@pytest.mark.parametrize("module", [asyncapi, typescript, task_defaults], ids=lambda module: module.__name__)
def test_repository_has_the_current_copies(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check finds an outdated copy and says what to do; writing one corrects it."""
    assert (ROOT / module.COPY).read_text() == module.text()
    monkeypatch.chdir(tmp_path)
    assert module.main(["--check"]) == 1
    assert f"python -m {module.__name__} --write" in capsys.readouterr().err
    assert module.main(["--write"]) == 0
    assert module.main(["--check"]) == 0
