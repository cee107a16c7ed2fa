"""`/openapi.json`, `/asyncapi.json`, and `/docs`: the first as a page, with nothing from another server.

The page is Swagger UI, whose files are copies of the npm package `swagger-ui-dist`, and `docs.js`, which adds
the token of the signed-in user, a search, and links to schemas.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from starlette.routing import BaseRoute

from api.contract import asyncapi
from api.contract.openapi import document
from api.http.static_content import StaticContent, digest
from api.pages import folder_routes

FOLDER = Path(__file__).parent
FILES = ("swagger/swagger-ui-bundle.js", "swagger/swagger-ui.css", "docs.js", "docs.css")


@cache
def docs_routes() -> Sequence[BaseRoute]:
    """Return the routes; their contents, which depend on the code alone, are generated once."""
    texts = {path.name: path.read_bytes() for path in (FOLDER / name for name in FILES)}
    version = digest(b"".join(digest(text).encode() for text in texts.values()))
    page = (FOLDER / "index.html").read_bytes().replace(b'"/docs/', b'"/docs/%s/' % version.encode())
    shown = StaticContent(page, ".html")
    return [
        _json(document()).route("/openapi.json"),
        _json(asyncapi.document()).route("/asyncapi.json"),
        shown.route("/docs"),
        shown.route("/docs/"),
        *folder_routes("/docs", version, {name: _file(name, text) for name, text in texts.items()}),
    ]


def _json(value: object) -> StaticContent:
    return StaticContent(json.dumps(value, ensure_ascii=False).encode(), ".json")


def _file(name: str, text: bytes) -> StaticContent:
    return StaticContent(text, Path(name).suffix)
