"""Program and commands of docs/how-to/read-the-log.md, run as written on a real broker."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from uuid import uuid4

from app.log.records import RawRecord
from app.positions import Position
from app.tasks.events import TaskCompleted, TaskCreated
from streams.event_log import KafkaEventLog
from streams.topics import ensure_topics, events_topic
from tests.integration.documents import Home, blocks
from tests.spec import LIST_ID, START, record_of

PAGE = "docs/how-to/read-the-log.md"
LIMIT_S = 30


async def test_third_party_reads_the_log_with_the_installed_packages(
    kafka_brokers: str, tmp_path: Path
) -> None:
    topic = f"task-events-{uuid4()}"
    [program], [commands] = blocks(PAGE, language="python"), blocks(PAGE)
    assert program.count('"task-events"') == 1
    (tmp_path / "follow.py").write_text(program.replace('"task-events"', f'"{topic}"'))
    *install, follow = commands.replace("127.0.0.1:9092", kafka_brokers).splitlines()
    await asyncio.to_thread(Home(tmp_path).run, "\n".join(install))
    await ensure_topics([kafka_brokers], [events_topic(topic, 1, 1)])
    log = KafkaEventLog([kafka_brokers], topic, 1)
    created, completed = TaskCreated(list_id=LIST_ID, title="Buy milk"), TaskCompleted()
    junk = RawRecord(Position(0, 0), START, b"junk", [], b"junk")
    await log.append_again([junk])
    await log.append([record_of(created, 1), record_of(completed, 2, actor="bob")])
    await log.close()

    process = await asyncio.create_subprocess_exec(
        *shlex.split(follow),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            lines = [(await process.stdout.readline()).decode() for _ in range(2)]
    finally:
        process.kill()
        await process.wait()
    assert re.fullmatch(r"2026-\S+ \S+ alice task\.created task:\S+ \{.*'title': 'Buy milk'.*\}\n", lines[0])
    assert re.fullmatch(r"2026-\S+ \S+ bob task\.completed task:\S+ \{\}\n", lines[1])
