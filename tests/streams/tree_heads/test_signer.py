"""The signer, on a real log and database: what it signs, and when it refuses to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.merkle.hashes import root_of
from app.merkle.notes import Note, Signature
from app.merkle.tree_heads import TreeHead
from app.settings import Settings
from projections.generations.opening import open_database
from projections.postgres.advisory_locks import AdvisoryLocks, open_advisory_locks
from projections.postgres.database import Database
from projections.queries.tree_heads import TreeHeadQueries
from projections.queries.trees import TreeQueries
from projections.read_models.tree import record_hash
from projections.rebuild.following import Follower
from streams.event_log import KafkaEventLog
from streams.producing import Message
from streams.tree_heads.keys import KeyRing, SigningKey, verify
from streams.tree_heads.signer import LOCK, TreeHeadSigner
from streams.tree_heads.topic import TreeHeadTopic
from tests.places import new_place
from tests.truth import read_whole_log

NOW = datetime(2026, 11, 30, tzinfo=UTC)
NAME = "tasks.example.com/log"
OLD, NEW = (SigningKey.generate(NAME, NOW + timedelta(days=days)) for days in (0, 10))


@dataclass
class Place:
    """A log with its read models, and the parts of a signer."""

    settings: Settings
    log: KafkaEventLog
    database: Database
    locks: AdvisoryLocks
    topic: TreeHeadTopic
    now: datetime = NOW

    def signer(self, *keys: SigningKey) -> TreeHeadSigner:
        """Return another signer."""
        return TreeHeadSigner(
            TreeQueries(self.database.pool),
            TreeHeadQueries(self.database),
            self.topic,
            lambda: KeyRing(keys or [OLD]),
            self.locks,
            clock=lambda: self.now,
        )

    async def grow(self, records: int) -> None:
        """Append records of another program, and project them."""
        partitions = self.settings.partitions
        await self.log.write([Message(place % partitions, b"k", b"v", []) for place in range(records)])
        follower = Follower(self.database, self.log)
        await follower.up_to(await self.log.ends())

    async def heads(self) -> list[Note]:
        """Return the notes in the topic."""
        found = self.topic.read(0, await self.topic.end())
        return [Note.parse(content.decode()) async for _, content in found]

    async def tamper(self, place: int) -> None:
        """Change a byte of a hash of partition 0, or change it back."""
        await self.database.pool.execute(
            "UPDATE tree_tiles SET hashes = set_byte(hashes, $1, 255 - get_byte(hashes, $1)) "
            "WHERE partition = 0 AND level = 0 AND number = 0",
            place,
        )


@pytest.fixture
async def place(kafka_brokers: str, database_url: str) -> AsyncIterator[Place]:
    settings = await new_place(kafka_brokers, database_url, TASKTAPE_PARTITIONS="2")
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(database_url, settings.schema_name, pool_size=2)
    locks = await open_advisory_locks(database_url, settings.schema_name, holders=2)
    topic = TreeHeadTopic(settings)
    yield Place(settings, log, database, locks, topic)
    await topic.close()
    locks.close()
    await database.close()
    await log.close()


async def test_heads_have_the_roots_of_the_records_in_kafka(place: Place) -> None:
    """One for each growth, none without; another process continues, also with an empty table."""
    signer = place.signer()
    await signer.round()
    assert await place.heads() == []
    for size in (5, 40):
        await place.grow(size)
        await signer.round()
        await signer.round()
    await place.database.pool.execute(f"DELETE FROM {place.settings.schema_name}.tree_heads")
    other = place.signer()
    await other.round()
    await place.grow(1)
    await other.round()
    await signer.round()
    notes = await place.heads()
    heads = [TreeHead.parse(note.text) for note in notes]
    assert [head.size for head in heads] == [5, 45, 46]
    assert all(note.signed_by([OLD.public], verify) for note in notes)
    records = await read_whole_log(place.settings)
    for tree in heads[-1].trees:
        leaves = [record_hash(raw) for raw in records if raw.position.partition == tree.partition]
        assert (tree.size, tree.root) == (len(leaves), root_of(leaves))
    stored = await TreeHeadQueries(place.database).last()
    assert stored is not None
    assert (stored.note, signer.last, signer.problem) == (notes[-1], heads[-1], None)


async def test_changed_tree_is_not_signed_until_it_is_right_again(place: Place) -> None:
    signer = place.signer()
    await place.grow(8)
    await signer.round()
    await place.tamper(place=7)
    await place.grow(2)
    for each in (signer, place.signer()):
        await each.round()
        assert each.problem is not None
        assert "the records of partition 0 below 4 are not those that were signed" in each.problem
        assert each.figures["problem"] == each.problem
    assert len(await place.heads()) == 1
    await place.tamper(place=7)
    await signer.round()
    assert (signer.problem, len(await place.heads())) == (None, 2)


async def test_tree_that_shrank_is_not_signed(place: Place) -> None:
    signer = place.signer()
    await place.grow(8)
    await signer.round()
    await place.database.pool.execute("UPDATE checkpoints SET next_offset = 3 WHERE partition = 1")
    await signer.round()
    assert signer.problem is not None
    assert "has 4 records of partition 1, and the read models have only 3" in signer.problem


async def test_records_that_are_not_heads_of_known_keys_are_ignored(place: Place) -> None:
    signer, stranger = place.signer(), SigningKey.generate(NAME, NOW)
    await place.grow(4)
    await signer.round()
    [note] = await place.heads()
    foreign = Note(note.text.replace("\n4\n", "\n9\n"), (stranger.sign(note.text),))
    await place.topic.append(9, foreign)
    await place.topic.append(4, Note(note.text, (stranger.sign(note.text),)))
    await place.grow(4)
    await signer.round()
    assert signer.problem is None
    stored = await TreeHeadQueries(place.database).last()
    assert stored is not None
    assert stored.head.size == 8


async def test_signatures_of_witnesses_are_added_to_a_head(place: Place) -> None:
    signer = place.signer()
    await place.grow(4)
    await signer.round()
    [note] = await place.heads()
    witness = Signature("witness.example.com", b"1234", b"signature")
    await place.topic.append(4, note.with_signatures([witness]))
    await signer.round()
    await place.signer().round()
    stored = await TreeHeadQueries(place.database).of_size(4)
    assert stored is not None
    assert stored.note.signatures == (*note.signatures, witness)


async def test_process_that_has_the_lock_is_left_alone(place: Place) -> None:
    await place.grow(4)
    held = await place.locks.acquire({LOCK: True}, 30)
    await place.signer().round()
    assert await place.heads() == []
    await held.release()
    await place.signer().round()
    assert len(await place.heads()) == 1


async def test_first_head_of_the_next_key_is_signed_by_both(place: Place) -> None:
    signers = []
    for days in (0, 9, 10, 11):
        place.now = NOW + timedelta(days=days)
        await place.grow(1)
        await place.signer(OLD, NEW).round()
        notes = await place.heads()
        signers.append(notes[-1].signed_by([OLD.public, NEW.public], verify))
    old, new = OLD.public, NEW.public
    assert signers == [[old], [old], [old, new], [new]]


async def test_file_of_keys_of_another_log_cannot_sign(place: Place, tmp_path: Path) -> None:
    """The last head is signed by none of its keys, so nothing continues it."""
    await place.grow(4)
    await place.signer().round()
    other = place.signer(SigningKey.generate(NAME, NOW))
    await place.grow(4)
    await other.round()
    assert other.problem is not None
    assert len(await place.heads()) == 1
