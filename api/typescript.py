"""TypeScript types of the WebSocket protocol, generated from its messages; the page is checked with them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from api.copies import keep
from api.message_schemas import FROM_CLIENT, FROM_SERVER, message_schemas

COPY = Path("api/pages/protocol.d.ts")
WIDTH = 110
_PLAIN = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_NAME = re.compile(r"[A-Za-z_]\w*")


def text() -> str:
    """The types as they are kept in the repository."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "/* The WebSocket protocol. Made by `python -m api.typescript --write`; not edited by hand. */"
    for name, schema in message_schemas().items():
        yield ""
        yield from _comment(schema, "")
        yield f"export interface {name} {{"
        required = schema.get("required", ())
        for field, of in schema["properties"].items():
            yield from _comment(of, "  ")
            yield f"  {_key(field)}{'' if field in required else '?'}: {_type(of)};"
        yield "}"
    yield from _union("FromClient", "What a client says.", FROM_CLIENT)
    yield from _union("FromServer", "What a server says.", FROM_SERVER)


def _union(name: str, about: str, models: Iterable[type[BaseModel]]) -> Iterator[str]:
    yield ""
    yield f"/** {about} */"
    yield f"export type {name} ="
    lines = [f"  | {model.__name__}" for model in models]
    yield "\n".join(lines) + ";"


def _comment(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    lines = [line for line in schema.get("description", "").splitlines() if line]
    if len(lines) == 1 and len(lines[0]) + len(indent) + len("/**  */") <= WIDTH:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}" for line in lines)
        yield f"{indent} */"


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else json.dumps(name)


def _type(schema: Mapping[str, Any]) -> str:
    """The type of what a schema takes. Raises `KeyError` for what it has no words for."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    match schema.get("type"):
        case None:
            return "unknown"
        case "array":
            return _array(schema["items"])
        case "object":
            values = schema["additionalProperties"]
            return f"{{ [key: string]: {'unknown' if values is True else _type(values)} }}"
        case kind:
            return _PLAIN[kind]


def _array(items: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    if not isinstance(items, Mapping):
        return f"[{', '.join(map(_type, items))}]"
    of = _type(items)
    return f"({of})[]" if " | " in of else f"{of}[]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the repository's copy, or check that it is up to date."""
    return keep("api.typescript", COPY, text, arguments)


if __name__ == "__main__":
    sys.exit(main())
