"""The examples of the reference are run as they stand: what they send is taken, and answered as it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack

REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference"
BLOCKS = [
    pytest.param(block, id=f"{name} {number}")
    for name in ("lists.md", "tasks.md")
    for number, block in enumerate(
        re.findall(r"^```sh\n(.*?)^```", (REFERENCE / name).read_text(), re.MULTILINE | re.DOTALL), start=1
    )
]


@dataclass(frozen=True)
class Curl:
    """A command line of curl, read as far as the reference uses it, and the status that it says to expect."""

    method: str
    address: str
    headers: dict[str, str]
    body: str | None
    status: int | None

    @classmethod
    def read(cls, line: str) -> Curl:
        """Read a line whose variables have been put in."""
        said = re.search(r"#\s+(\d{3}): ", line)
        words = iter(shlex.split(line, comments=True)[1:])
        method, address, headers, body = None, "", dict[str, str](), None
        for word in words:
            match word:
                case "-X":
                    method = next(words)
                case "-H":
                    name, _, value = next(words).partition(": ")
                    headers[name] = value
                case "--json":
                    body = next(words)
                    headers["Content-Type"] = "application/json"
                case _:
                    address = word
        status = None if said is None else int(said[1])
        return cls(method or ("GET" if body is None else "POST"), address, headers, body, status)


def examples_of(block: str, variables: dict[str, str]) -> Iterator[Curl]:
    """What a shell block asks over HTTP, with the variables that it sets itself."""
    known = dict(variables)
    for line in block.splitlines():
        name, is_set, value = line.partition("=")
        if line.startswith("curl "):
            yield Curl.read(_expanded(line, known))
        elif is_set and name not in known:
            [known[name]] = shlex.split(_expanded(value, known))


def _expanded(line: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: variables[found[1]].replace('"', '\\"'), line)


@pytest.fixture
async def variables(running_stack: Stack) -> AsyncIterator[dict[str, str]]:
    """What the examples take from the environment: ids of a list and of tasks that are there."""
    user = f"user-{uuid4().hex[:8]}"
    async with running_stack.client(user) as client:
        ids = {
            "API": f"{running_stack.urls[0]}/api",
            "AUTH": f"Authorization: Bearer {running_stack.token(user)}",
        }
        ids["LIST"] = (await client.post("/api/lists", json={"name": "L"})).json()["id"]
        for name, parent in (("TASK", None), ("OTHER", None), ("CHILD", "TASK")):
            body = {
                "title": name,
                "list_id": ids["LIST"],
                "parent_id": None if parent is None else ids[parent],
            }
            ids[name] = (await client.post("/api/tasks", json=body)).json()["id"]
        for change in ({"title": "A"}, {"notes": "B"}):
            await client.patch(f"/api/tasks/{ids['TASK']}", json=change)
        said = await client.post(f"/api/tasks/{ids['TASK']}/comments", json={"text": "x"})
        ids["COMMENT"] = said.headers["location"].rpartition("/")[2]
        yield ids


@pytest.mark.parametrize("block", BLOCKS)
async def test_examples_work(variables: dict[str, str], block: str) -> None:
    """Of each block, one after the other."""
    examples = list(examples_of(block, variables))
    assert examples
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        for example in examples:
            answer = await client.request(
                example.method, example.address, headers=example.headers, content=example.body
            )
            as_said = answer.status_code == example.status if example.status else answer.is_success
            assert as_said, f"{example.method} {example.address} {example.body}: {answer.text}"
