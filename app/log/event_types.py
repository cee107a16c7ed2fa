"""Event types: the data of their events as JSON, in the schema version of now and in all earlier ones.

The schema version of a type is 1, plus one for each of its upcasters. So every version has an upcaster from
the version before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from app.bounds import MAX_NUMBER
from app.errors import MAX_REASON_CHARS, Undecodable, reason_of
from app.log.upcasters import Upcaster

E = TypeVar("E")
UPGRADE = "upgrade this one, then retry"


def dataschema_of(name: str, version: int) -> str:
    """Return the `ce_dataschema` of events, which is also the `$id` of their JSON Schema."""
    return f"urn:tasktape:{name}:{version}"


@dataclass(frozen=True, slots=True)
class EventType(Generic[E]):
    """An event type. `adapter` reads and writes the data of its latest schema version."""

    name: str
    event_class: type[E]
    adapter: TypeAdapter[E]
    upcasters: Sequence[Upcaster]
    version: int
    dataschema: str

    def read(self, dataschema: str, value: bytes) -> E:
        """Return the event in a value of any known version. Raise `Undecodable` or `ValidationError`."""
        if dataschema == self.dataschema:
            return self.adapter.validate_json(value, strict=True)
        version = self._known_version(dataschema)
        data = self._upcast(value, version)
        try:
            return self.adapter.validate_json(data, strict=True)
        except ValidationError as error:
            raise Undecodable(f"{invalid_part(error)}, after upcasting from version {version}") from None

    def _known_version(self, dataschema: str) -> int:
        prefix, _, number = dataschema.rpartition(":")
        unknown = f"unknown data schema {dataschema[:100]!r}"
        try:
            version = int(number)
        except ValueError:
            raise Undecodable(unknown) from None
        if f"{prefix}:1" != dataschema_of(self.name, 1) or not 1 <= version <= MAX_NUMBER:
            raise Undecodable(unknown)
        if version > self.version:
            raise Undecodable(
                f"{unknown}: the newest known version of {self.name} is {self.version}, so a newer Tasktape "
                f"wrote the record; {UPGRADE}"
            )
        return version

    def _upcast(self, value: bytes, version: int) -> bytes:
        try:
            data: Any = from_json(value)
        except ValueError as error:
            raise Undecodable(f"value: Invalid JSON: {error}"[:MAX_REASON_CHARS]) from None
        if not isinstance(data, dict):
            raise Undecodable("value: Input should be an object")
        for step, upcaster in enumerate(self.upcasters[version - 1 :], start=version):
            try:
                data = upcaster(data)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, it comes of the record
                where = f"the upcaster from version {step} of {self.name} failed"
                raise Undecodable(f"{where}: {reason_of(error)}"[:MAX_REASON_CHARS]) from None
        # An unknown field may hold a number that is none: the latest version ignores it too.
        return to_json(data, inf_nan_mode="constants")


EventTypes = Mapping[str, EventType[E]]


def event_types(classes: Iterable[type[E]], upcasters: Mapping[str, Sequence[Upcaster]]) -> EventTypes[E]:
    """Return the types of these events, by name. `type` of an event class is its name."""
    found = {}
    for each in classes:
        name: str = each.type  # type: ignore[attr-defined]
        own = tuple(upcasters.get(name, ()))
        version = 1 + len(own)
        found[name] = EventType(name, each, TypeAdapter(each), own, version, dataschema_of(name, version))
    return found


def invalid_part(error: ValidationError) -> str:
    """Return the first invalid part of a record, and its fault, in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "value"
    return f"{where}: {first['msg']}"[:MAX_REASON_CHARS]
