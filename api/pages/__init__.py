"""The web page: plain files, served without a build step.

The files refer to each other by relative addresses below one that contains a digest of all of them. So
browsers cache them for a long time, and a page never mixes scripts of two versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.http.representations import KEEP
from api.http.static_content import KEEP_FOR_EVER, StaticContent, digest
from app.activity import PHRASES

FOLDER = Path(__file__).parent
SUFFIXES = frozenset({".js", ".css", ".svg"})


def page_routes() -> list[BaseRoute]:
    """Return the routes of the page and its files."""
    texts = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in SUFFIXES}
    # The phrases of the activity feed, so that the page shows the same sentences for live updates.
    texts["phrases.json"] = json.dumps(dict(PHRASES), ensure_ascii=False).encode()
    version = digest(b"".join(digest(text).encode() for text in texts.values()))
    index = (FOLDER / "index.html").read_bytes().replace(b'"/page/', b'"/page/%s/' % version.encode())
    contents = {name: StaticContent(text, Path(name).suffix) for name, text in texts.items()}
    return [
        StaticContent(index, ".html").route("/"),
        *folder_routes("/page", version, contents),
    ]


def folder_routes(prefix: str, version: str, contents: Mapping[str, StaticContent]) -> list[BaseRoute]:
    """Return the routes of some files, at an address with their version and at one without.

    The version of another release, which one of several servers may have, serves the files of this one: a
    page that is loaded during a deployment works. Those responses are revalidated each time.
    """

    async def serve(request: Request) -> Response:
        content = contents.get(request.path_params["name"])
        if content is None:
            raise HTTPException(404)
        return await content.answer(
            request, KEEP_FOR_EVER if request.path_params.get("version") == version else KEEP
        )

    return [
        Route(f"{prefix}/{{version}}/{{name}}", serve, methods=["GET"], include_in_schema=False),
        Route(f"{prefix}/{{name}}", serve, methods=["GET"], include_in_schema=False),
    ]
