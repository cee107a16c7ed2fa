"""The first page: plain files, served as they are, without a build step."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.activity_phrases import PHRASES

FOLDER = Path(__file__).parent
# Kept by the browser, but asked about each time: an upgraded server never meets an older script.
HEADERS = {"Cache-Control": "no-cache"}


def page_routes() -> list[BaseRoute]:
    """The routes of the page and its files."""
    files = [path for path in sorted(FOLDER.iterdir()) if path.suffix in {".js", ".css", ".svg"}]
    return [
        _file("/", FOLDER / "index.html"),
        *(_file(f"/page/{path.name}", path) for path in files),
        Route("/page/phrases.json", _phrases, methods=["GET"], include_in_schema=False),
    ]


async def _phrases(request: Request) -> Response:  # noqa: ARG001
    """What the activity feed says of each type, so that the page says the same of what comes live."""
    return JSONResponse(dict(PHRASES), headers=HEADERS)


def _file(path: str, file: Path) -> Route:
    async def serve(request: Request) -> Response:  # noqa: ARG001
        return FileResponse(file, headers=HEADERS)

    return Route(path, serve, methods=["GET"], include_in_schema=False)
