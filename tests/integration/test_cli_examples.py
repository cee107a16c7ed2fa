"""Examples of the command line's verbs, run as written once the objects that they name exist."""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path

import pytest

from app.settings import Settings
from tests.integration.documents import ROOT, Reader, blocks
from tests.integration.stack import Stack
from tests.integration.test_api_dead_letters import letters, put
from tests.waiting import eventually

PAGE = "docs/reference/cli.md"
INSTANCE = ("up", "down", "status", "doctor", "rebuild", "backup", "restore")
"""These are followed by the tests of the pages on recovering, rebuilding and backing up."""
WITH_KEYS = ("audit rotate-key",)
"""These need the data folder of an instance that signs: `tests/cli/test_audit_keys.py`."""
OLDER = ("revert", "copy", "diff")
"""These need a list that is older than a day."""
VERIFYING = tuple(f"audit {verb}" for verb in ("head", "keys", "prove", "consistency", "verify", "verifier"))
"""The test of the page on verifying the log follows these."""
PROCESSES = ("api", "worker", "migrate")
WITH_LETTERS = ("dead-letters retry", "dead-letters skip")


def verb_of(example: str) -> str:
    """Return the verb that an example is of, with that of its group."""
    words = shlex.split(re.split(r"(?:^| )tasktape ", example, maxsplit=1)[1])
    group = words[0] in {"lists", "dead-letters", "audit"} and len(words) > 1 and not words[1].startswith("-")
    return " ".join(words[:2]) if group else words[0]


EXAMPLES = {verb_of(each): each.strip() for each in blocks(PAGE)}

ORDER = (
    *("add", "lists create", "lists list", "lists", "lists stages", "share", "members", "list", "search"),
    *("show", "edit", "comment", "comments", "move", "skip", "done", "undo", "rm", "bulk", "import"),
    *("audit export", "audit parquet"),
    *("notifications", "activity", "token", "completion", "dead-letters list"),
    *("replay", "lists zone", "stats", "audit query", "audit sql"),
    *("lists delete", "lists restore", "hand-over", "leave", "lists rename", "unshare"),
)
BEFORE = {
    "lists stages": "tasktape lists create Website",
    "undo": 'tasktape edit 3f9a2c1 --title "Buy milk"',
    "skip": "tasktape edit 3f9a2c1 --due 2026-12-01 --recurrence FREQ=DAILY",
    "lists rename": "tasktape lists create Errands",
    "replay": 'tasktape lists create Household && tasktape add "Water the plants" --list Household',
    "unshare": "tasktape lists create Errands; tasktape share Errands bob",
}
"""Commands that create what the examples name."""


@pytest.fixture
def reader(running_stack: Stack, tmp_path: Path) -> Reader:
    return Reader(running_stack, tmp_path, admin=True)


async def test_examples_that_need_only_a_server_work_as_typed(running_stack: Stack, reader: Reader) -> None:
    assert set(ORDER) == set(EXAMPLES) - {
        "watch",
        *INSTANCE,
        *WITH_KEYS,
        *OLDER,
        *VERIFYING,
        *PROCESSES,
        *WITH_LETTERS,
    }
    line = '{"command": "create", "body": {"title": "From a file"}}'
    (reader.folder / "commands.jsonl").write_text(line)
    incidents = (ROOT / "docs" / "examples" / "incidents.xes").read_bytes()
    (reader.folder / "incidents.xes.gz").write_bytes(gzip.compress(incidents))
    async with running_stack.client(reader.user) as client:
        made = [(await client.post("/api/tasks", json={"title": each})).json()["id"] for each in ("A", "B")]
    lines = [command for verb in ORDER for command in (BEFORE.get(verb, ""), EXAMPLES[verb]) if command]
    script = "\n".join(lines).replace("3f9a2c1", made[0][-7:]).replace("77b01ee", made[1][-7:])
    await reader.follow(script)
    assert "_tasktape_completion" in (reader.folder / ".bashrc").read_text()


async def test_examples_of_dead_letters_settle_their_record(running_stack: Stack, reader: Reader) -> None:
    async with running_stack.client(reader.user, admin=True) as admin:
        task = (await admin.post("/api/tasks", json={"title": "Held"})).json()["id"]
        position = await put(running_stack, f"task:{task}".encode(), b"junk")

        async def is_parked() -> bool:
            return position in await letters(admin)

        await eventually(is_parked)
        await reader.follow(*(EXAMPLES[verb].replace("0:121", position) for verb in WITH_LETTERS))

        async def is_settled() -> bool:
            return not await is_parked()

        await eventually(is_settled)


@pytest.mark.parametrize("verb", PROCESSES)
def test_examples_of_processes_set_existing_fields(verb: str) -> None:
    settings = {str(field.alias) for field in Settings.model_fields.values()}
    assert set(re.findall(r"(\w+)=", EXAMPLES[verb])) <= settings
    assert {"KAFKA_BROKERS", "DATABASE_URL"} <= set(re.findall(r"(\w+)=", EXAMPLES[verb]))
