"""The read model of the trees equals trees by the definition, at every size, however records arrive."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import Unavailable
from app.log.fold import Fold, decoded
from app.log.records import RawRecord
from app.merkle.hashes import root_of
from app.merkle.proofs import check_consistency, check_inclusion
from app.merkle.tiles import WIDTH
from app.positions import Position
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries.trees import TreeQueries
from projections.read_models import tree
from projections.read_models.projected import ProjectedBatch, project
from tests.app.merkle import naive_tree
from tests.spec import START
from tests.thoroughness import examples

PARTITIONS = 2


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield empty tables."""
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    opened = await open_database(database_url, schema, pool_size=1)
    yield opened
    await opened.close()


def record(partition: int, offset: int) -> RawRecord:
    """Return a record of another program, with odd parts."""
    headers = [("ce_id", b"%d" % offset), ("ce_id", None), ("ä", b"")]
    return RawRecord(
        Position(partition, offset), START, None if offset % 2 else b"k", headers, b"v%d" % offset
    )


async def write(database: Database, batch: Sequence[RawRecord]) -> None:
    """Write a batch as the projector does."""
    fold = Fold()
    projected = [project(fold.apply(raw, decoded(raw)), tells=False) for raw in batch]
    async with database.pool.acquire() as connection, connection.transaction():
        await tree.write(connection, ProjectedBatch(projected, {}))


async def grow(database: Database, steps: Sequence[Mapping[int, int]]) -> list[list[bytes]]:
    """Append so many records to each partition at each step, to empty trees; return all leaves."""
    await database.pool.execute("TRUNCATE tree_tiles")
    leaves: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for step in steps:
        batch = [
            record(partition, len(leaves[partition]) + place)
            for partition, count in step.items()
            for place in range(count)
        ]
        batch.sort(key=lambda raw: raw.position.offset)
        for raw in batch:
            leaves[raw.position.partition].append(tree.record_hash(raw))
        await write(database, batch)
    return leaves


steps = st.lists(
    st.fixed_dictionaries({0: st.integers(0, 70), 1: st.sampled_from([0, 1, 2, WIDTH, 40 * WIDTH + 1])}),
    min_size=1,
    max_size=6,
)


@given(steps, st.randoms(use_true_random=False))
@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_trees_and_proofs_are_those_of_the_definition(
    database: Database, steps: list[dict[int, int]], chance: random.Random
) -> None:
    """At several earlier sizes, with tiles of three levels."""
    leaves = await grow(database, steps)
    queries = TreeQueries(database.pool)
    for _ in range(5):
        new = {partition: chance.randint(0, len(leaves[partition])) for partition in range(PARTITIONS)}
        old = {partition: chance.randint(0, size) for partition, size in new.items()}
        trees, former = await queries.trees(new), await queries.trees(old)
        assert [each.root for each in trees] == [
            root_of(leaves[partition][:size]) for partition, size in new.items()
        ]
        proofs = await queries.consistency({each: (old[each], new[each]) for each in new})
        for partition, size in new.items():
            roots = former[partition].root, trees[partition].root
            check_consistency(old[partition], size, *roots, proofs[partition])
            if size:
                index = chance.randrange(size)
                leaf = await queries.leaf(partition, index)
                assert leaf == leaves[partition][index]
                proof = await queries.inclusion(partition, index, size)
                check_inclusion(index, size, leaf, proof, trees[partition].root)
                if size < 100:
                    assert proof == naive_tree.path(index, leaves[partition][:size])


async def test_batches_of_any_size_leave_the_same_rows(database: Database) -> None:
    rows = "SELECT * FROM tree_tiles ORDER BY partition, level, number"
    await grow(database, [{0: 1, 1: 0}] * 35)
    singly = await database.pool.fetch(rows)
    await grow(database, [{0: 35, 1: 0}])
    assert await database.pool.fetch(rows) == singly
    assert [(row["level"], len(row["hashes"]) // 32) for row in singly] == [(0, 32), (0, 3), (1, 1)]


async def test_tree_beyond_the_present_one_is_unavailable(database: Database) -> None:
    await grow(database, [{0: 5, 1: 0}])
    queries = TreeQueries(database.pool)
    for wanted in (queries.trees({0: 6}), queries.inclusion(0, 1, 6), queries.consistency({1: (1, 2)})):
        with pytest.raises(Unavailable, match="not reached"):
            await wanted
