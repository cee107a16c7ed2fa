"""Commands of docs/how-to/verify-the-log.md, run as written."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.documents import Reader, blocks
from tests.integration.stack import Stack
from tests.waiting import LIMIT_S, eventually

PAGE = "docs/how-to/verify-the-log.md"


async def test_commands_verify_the_log_with_and_without_tasktape(
    running_stack: Stack, tmp_path: Path
) -> None:
    """Each prints what it compared, and the proven record is the task that was added."""
    reader = Reader(running_stack, tmp_path)
    stores = ("KAFKA_BROKERS", "DATABASE_URL", "TASKTAPE_SCHEMA", "TASKTAPE_PARTITIONS")
    reader.environment |= {
        name: value
        for name, value in running_stack.environment.items()
        if name in stores or name.endswith("_TOPIC")
    }
    async with running_stack.client(reader.user) as client:
        answer = await client.post("/api/tasks", json={"title": "Proven"})
        position = answer.headers["Tasktape-Position"]

        async def is_signed() -> bool:
            return (await client.get("/api/audit/proof", params={"position": position})).is_success

        await eventually(is_signed, LIMIT_S, "no tree head has the record")
    scripts = [block.replace("0:121", position) for block in blocks(PAGE)]
    printed = await reader.follow(*scripts)
    assert "WRONG" not in printed
    assert f"The record {position} is in the head of" in printed
    shown = printed.split(f"The record {position} is in ")[2].partition("\n")[2]
    record, _ = json.JSONDecoder().raw_decode(shown)
    assert json.loads(record["value"])["title"] == "Proven"
    assert printed.count("records are those that were signed.") == 2
    assert "records compared with their rows and hashes." in printed
