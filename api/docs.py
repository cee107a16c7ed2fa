"""`/openapi.json`, `/asyncapi.json`, and `/docs`: the first as a page that works offline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import asyncapi
from api.openapi import document
from api.static_content import StaticContent

_STYLE_PATH = "/docs/style.css"
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { border-bottom: 1px solid #8886; text-transform: capitalize; }
details { border: 1px solid #8886; border-radius: .5rem; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; background: #8882; padding: .75rem; border-radius: .5rem; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
.get { color: #1a7f4b; } .post { color: #0b62c4; } .patch { color: #9a6700; } .delete { color: #c4313b; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .15rem .5rem .15rem 0; }
"""


def docs_routes() -> list[Route]:
    """The routes, whose answers are made once."""
    found = document()
    machine, page = json.dumps(found, ensure_ascii=False).encode(), "".join(_page(found)).encode()
    messages = json.dumps(asyncapi.document(), ensure_ascii=False).encode()

    async def docs(request: Request) -> Response:  # noqa: ARG001
        return Response(page, media_type="text/html")

    async def style(request: Request) -> Response:  # noqa: ARG001
        return Response(_STYLE, media_type="text/css")

    return [
        StaticContent(machine, ".json").route("/openapi.json"),
        StaticContent(messages, ".json").route("/asyncapi.json"),
        Route("/docs", docs),
        Route(_STYLE_PATH, style),
    ]


def _page(found: Mapping[str, Any]) -> Iterator[str]:
    info = found["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(info['title'])} API</title>"
    yield f'<link rel="stylesheet" href="{_STYLE_PATH}"></head><body>'
    yield f"<h1>{escape(info['title'])} API</h1><p>{escape(info['summary'])}</p>"
    yield '<p>For machines: <a href="/openapi.json">OpenAPI 3.1</a>, '
    yield 'and <a href="/asyncapi.json">AsyncAPI 3.0</a> of the WebSocket. '
    yield "Send <code>Authorization: Bearer …</code> with a token; "
    yield "<code>tasktape token --user NAME</code> prints one.</p>"
    for tag in found["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>"
        for path, methods in found["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield from _operation(found, path, method, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in found["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        yield f"{_json(schema)}</details>"
    yield "</body></html>"


def _operation(
    found: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    yield f'<details id="{escape(operation["operationId"])}"><summary>'
    yield f'<code><span class="method {method}">{method.upper()}</span> {escape(path)}</code> '
    yield f"{escape(operation['summary'])}</summary>"
    parameters = [_resolved(found, each) for each in operation["parameters"]]
    if parameters:
        yield "<table><tr><th>Parameter</th><th>In</th><th>What it is</th></tr>"
        for each in parameters:
            yield f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td>"
            yield f"<td>{escape(each.get('description', ''))}</td></tr>"
        yield "</table>"
    if "requestBody" in operation:
        yield f"<p>Body: {_contents(operation['requestBody'])}</p>"
    yield "<table><tr><th>Answer</th><th></th><th>Body</th></tr>"
    for status, response in operation["responses"].items():
        answer = _resolved(found, response)
        yield f"<tr><td>{status}</td><td>{escape(answer['description'])}</td>"
        yield f"<td>{_contents(answer)}</td></tr>"
    yield "</table></details>"


def _resolved(found: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference into the components stands for, or the value itself."""
    if "$ref" not in value:
        return value
    _, _, kind, name = value["$ref"].split("/")
    resolved: Mapping[str, Any] = found["components"][kind][name]
    return resolved


def _contents(value: Mapping[str, Any]) -> str:
    schemas = dict.fromkeys(_schema(content["schema"]) for content in value.get("content", {}).values())
    return ", ".join(schemas)


def _schema(schema: Mapping[str, Any]) -> str:
    if "$ref" not in schema:
        return f"<code>{escape(json.dumps(schema))}</code>"
    name = escape(schema["$ref"].rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
