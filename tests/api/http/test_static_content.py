"""Files of the page: content-addressed URLs, entity tags, compression."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from gzip import decompress
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.api.http_client import SECRET, client_of
from tests.api.memory_stack import World, dependencies_on

PAGES = Path(__file__).parents[3] / "api" / "pages"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with World().running() as world:
        deps = dependencies_on(world, world.node(), Settings(jwt_secret=SECRET), None)
        async with client_of(deps, None) as found:
            found.headers["Accept-Encoding"] = "identity"
            yield found


async def versioned(client: httpx.AsyncClient) -> str:
    """Return the URL of the script that the page begins with."""
    found = re.search(r'src="(/page/[0-9a-f]{16}/app\.js)"', (await client.get("/")).text)
    assert found is not None
    return found[1]


async def test_versioned_files_are_cached_for_ever(client: httpx.AsyncClient) -> None:
    """The page itself, and URLs without a content hash, are revalidated each time."""
    page = await client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    paths = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text)
    assert {path.rpartition("/")[2] for path in paths} == {"icon.svg", "style.css", "app.js"}
    for path in paths:
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (
            200,
            "public, max-age=31536000, immutable",
        )
    script = await client.get("/page/app.js")
    assert (script.text, script.headers["cache-control"]) == ((PAGES / "app.js").read_text(), "no-cache")


async def test_url_of_another_release_serves_the_current_file(client: httpx.AsyncClient) -> None:
    """To be revalidated each time; an unknown file is 404."""
    path = await versioned(client)
    other = await client.get(path.replace(path.split("/")[2], "0" * 16))
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")
    assert other.headers["etag"] == (await client.get(path)).headers["etag"]
    for missing in ("/page/none.js", path.replace("app", "none"), "/page/__init__.py", "/page/x/../app.js/y"):
        assert (await client.get(missing)).status_code == 404


def test_scripts_import_each_other_by_relative_urls() -> None:
    """Otherwise a browser would load some of them twice, and revalidate them each time."""
    for script in PAGES.glob("*.js"):
        assert '"/page/' not in script.read_text(), script.name


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/page/style.css", "/openapi.json", "/asyncapi.json"])
async def test_unchanged_contents_are_not_sent_again(client: httpx.AsyncClient, path: str) -> None:
    """304 for any of the caller's tags, in whichever coding; 412 for `If-Match` with another tag."""
    tag = (await client.get(path)).headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{16}"', tag)
    for known, kept in (
        (tag, tag),
        (f'"x", W/{tag}', tag),
        ("*", tag),
        (tag[:-1] + '-gzip"', tag[:-1] + '-gzip"'),
    ):
        answer = await client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", kept)
        assert {"cache-control", "vary"} <= set(answer.headers)
        assert {"content-type", "content-length", "content-encoding"}.isdisjoint(answer.headers)
    for known in ('"x"', "nonsense", ""):
        assert (await client.get(path, headers={"If-None-Match": known})).status_code == 200
    refused = await client.get(path, headers={"If-Match": '"x"'})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    head = await client.head(path, headers={"If-None-Match": tag})
    assert head.status_code == 304


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/page/style.css", "/openapi.json", "/asyncapi.json"])
async def test_contents_are_compressed(client: httpx.AsyncClient, path: str) -> None:
    """With a tag of their own, and `Vary` for caches."""
    plain = await client.get(path)
    async with client.stream("GET", path, headers={"Accept-Encoding": "br, gzip"}) as packed:
        raw = b"".join([chunk async for chunk in packed.aiter_raw()])
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(raw) < len(plain.content) / 2
    assert decompress(raw) == plain.content
    assert packed.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    for answer in (plain, packed):
        assert "accept-encoding" in answer.headers["vary"].lower()
    assert "content-encoding" not in plain.headers


async def test_docs_page_is_served_with_a_trailing_slash(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs/")).content == (await client.get("/docs")).content


async def test_range_requests_get_the_whole_file(client: httpx.AsyncClient) -> None:
    """As RFC 9110, 14.2 allows; the response says that ranges are not served."""
    answer = await client.get("/page/app.js", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none")
    assert len(answer.content) > 10


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css"])
def test_docs_page_has_the_files_of_its_package(name: str) -> None:
    """Byte for byte, in the version that package.json pins: `make format` copies them."""
    package = PAGES.parents[1] / "node_modules" / "swagger-ui-dist"
    assert (PAGES.parent / "docs" / "swagger" / name).read_bytes() == (package / name).read_bytes()
