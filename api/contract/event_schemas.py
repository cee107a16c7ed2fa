"""JSON Schemas of the events on the log: `schemas/{type}/{version}.json`, for each version of each type.

That of the latest version is made from the event's class. Those of earlier versions, which only upcasters
know, stay as they were. What may have changed is compared with the last commit.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import NoDefault
from pydantic_core import core_schema, to_jsonable_python

from api.contract.generated_files import is_write
from api.contract.json_schemas import UntitledFields
from api.contract.schema_compatibility import incompatibilities
from api.contract.schema_samples import samples
from app.errors import Undecodable
from app.log.event_types import EventType, EventTypes, dataschema_of, invalid_part
from app.log.records import EVENT_TYPES

FOLDER = Path("schemas")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
GIT_TIMEOUT_S = 60.0
ADVICE = "keep it, or write an upcaster: docs/how-to/change-an-event.md"
SHOWN_CHARS = 200
Files = Mapping[str, str]
"""Texts of files, by their path in the folder: `task.created/1.json`."""


class _EventSchema(UntitledFields):
    """A generator with the defaults that factories make."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        if "default_factory" in schema and not schema.get("default_factory_takes_data"):
            return to_jsonable_python(schema["default_factory"]())  # type: ignore[call-arg]
        return schema.get("default", NoDefault)


def schema_of(event_type: EventType[Any]) -> dict[str, Any]:
    """Return the schema of the latest version of an event type. Its `$id` is the record's `ce_dataschema`."""
    made = event_type.adapter.json_schema(schema_generator=_EventSchema)
    head = {
        "$schema": DIALECT,
        "$id": event_type.dataschema,
        "title": f"{event_type.name} {event_type.version}",
    }
    return (
        head
        | {name: value for name, value in made.items() if name not in {*head, "$defs"}}
        | ({"$defs": made["$defs"]} if "$defs" in made else {})
    )


def latest(types: EventTypes[Any]) -> dict[str, str]:
    """Return the files of the latest version of each event type."""
    return {
        f"{each.name}/{each.version}.json": json.dumps(schema_of(each), indent=2, ensure_ascii=False) + "\n"
        for each in types.values()
    }


def broken_promises(types: EventTypes[Any], committed: Files) -> Iterator[str]:
    """Return what in the event classes would break the reading of old records, one line each."""
    made = latest(types)
    for path, text in sorted(committed.items()):
        name, version = _parts(path)
        if not version:
            continue  # a stale file
        if name not in types:
            yield f"{name}: the event type is gone; the log has events of it, so keep its class"
        elif version > types[name].version:
            yield f"{name} {version}: its upcaster is gone, and the log has events of this version"
        elif (schema := _object(text)) is None:
            yield f"{FOLDER}/{path} is not a JSON object; restore it"
        else:
            changes = incompatibilities(schema, json.loads(made[path])) if path in made else []
            advice = ADVICE if path in made else "correct the upcaster"
            found = changes or _unread(types[name], version, schema)
            yield from (f"{name} {version}: {line}; {advice}" for line in found)


def _unread(event_type: EventType[Any], version: int, schema: Mapping[str, Any]) -> Iterator[str]:
    """Return why samples of a version cannot be read, each reason once, with the first such sample."""
    reasons: dict[str, str] = {}
    for sample in samples(schema):
        value = json.dumps(sample)
        try:
            event_type.read(dataschema_of(event_type.name, version), value.encode())
        except (Undecodable, ValidationError) as error:
            reason = error.detail if isinstance(error, Undecodable) else invalid_part(error)
            reasons.setdefault(reason, value if len(value) <= SHOWN_CHARS else f"{value[:SHOWN_CHARS]}…")
    for reason, value in reasons.items():
        yield f"{reason}, in {value}"


def stale_files(types: EventTypes[Any], committed: Files, found: Files) -> Iterator[str]:
    """Return which of the files that were found are not as they should be, one line each."""
    made = latest(types)
    earlier = {f"{each.name}/{version}.json" for each in types.values() for version in range(1, each.version)}
    for path in sorted({*made, *earlier, *found}):
        if path not in made and path not in earlier:
            yield f"{FOLDER}/{path} is of no version of an event type; remove it"
        elif path in earlier and path not in found:
            yield f"{FOLDER}/{path} is missing; restore it, because the log has events of this version"
        elif path in earlier and found[path] != committed.get(path, found[path]):
            yield f"{FOLDER}/{path} has changed; restore it, because nothing writes this version any more"
        elif path in made and found.get(path) != made[path]:
            yield f"{FOLDER}/{path} is out of date; run `make format`"


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _parts(path: str) -> tuple[str, int]:
    name, _, file = path.rpartition("/")
    number = file.removesuffix(".json")
    return name, int(number) if number.isdecimal() else 0


def read_files(folder: Path) -> dict[str, str]:
    """Return the files in a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def committed_files(folder: Path) -> dict[str, str] | None:
    """Return the files of a folder in the last commit; None without git, or if it has none."""
    try:
        made = subprocess.run(  # noqa: S603
            ["git", "archive", "HEAD", folder.as_posix()],  # noqa: S607
            capture_output=True,
            check=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        return {
            Path(member.name).relative_to(folder).as_posix(): content.read().decode()
            for member in archive
            if (content := archive.extractfile(member)) is not None
        }


def main(
    arguments: Sequence[str] | None = None, types: EventTypes[Any] = EVENT_TYPES, folder: Path = FOLDER
) -> int:
    """Write the schemas, or check that they are up to date; refuse classes that cannot read old records."""
    write = is_write("api.contract.event_schemas", main.__doc__, arguments)
    found = read_files(folder)
    committed = committed_files(folder) or found
    problems = list(broken_promises(types, committed))
    if write and not problems:
        for path, text in latest(types).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        found = read_files(folder)
    problems = problems or list(stale_files(types, committed, found))
    sys.stderr.writelines(f"{line}\n" for line in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
