"""Tree heads and proofs over HTTP: verified from the record in Kafka up to the signature."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from app.log.records import RawRecord
from app.merkle.hashes import EMPTY_ROOT
from app.merkle.notes import COSIGNATURE, Note, PublicKey, Signature, cosigned_message
from app.merkle.proofs import check_consistency, check_inclusion
from app.merkle.tree_heads import TreeHead
from app.positions import Position
from projections.read_models.tree import record_hash
from streams.event_log import KafkaEventLog
from streams.tree_heads.keys import verify
from tests.integration.stack import WITNESS, Stack
from tests.waiting import LIMIT_S, eventually


@pytest.fixture
async def alice(running_stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with running_stack.client(f"alice-{uuid4().hex[:8]}") as client:
        yield client


async def written(client: httpx.AsyncClient) -> str:
    """Return the position of a new task of the caller, once a tree head has it."""
    answer = await client.post("/api/tasks", json={"title": "Milk"})
    assert answer.status_code == 201, answer.text
    position: str = answer.headers["Tasktape-Position"]

    async def is_signed() -> bool:
        return (await client.get("/api/audit/proof", params={"position": position})).status_code == 200

    await eventually(is_signed, LIMIT_S, "no tree head has the record")
    return position


async def record_at(stack: Stack, position: Position) -> RawRecord:
    """Return a record as it is in Kafka."""
    log = KafkaEventLog([stack.brokers], stack.environment["TASKTAPE_EVENTS_TOPIC"], 4)
    try:
        async for raws in log.read(position.partition, position.offset, position.offset + 1):
            return raws[0]
    finally:
        await log.close()
    raise AssertionError(position)


async def checked(client: httpx.AsyncClient, content: str) -> TreeHead:
    """Return the tree head of a note that the announced key signed."""
    async with httpx.AsyncClient(base_url=client.base_url, trust_env=False) as stranger:
        [known] = (await stranger.get("/api/audit/keys")).json()["keys"]
    note = Note.parse(content)
    assert note.signed_by([PublicKey.parse(known["key"])], verify)
    return TreeHead.parse(note.text)


def hashes(texts: list[str]) -> list[bytes]:
    return [b64decode(text) for text in texts]


async def test_proof_leads_from_the_record_in_kafka_to_the_signature(
    running_stack: Stack, alice: httpx.AsyncClient
) -> None:
    position = Position.parse(await written(alice))
    proof = (await alice.get("/api/audit/proof", params={"position": str(position)})).json()
    head = await checked(alice, proof["tree_head"])
    leaf = record_hash(await record_at(running_stack, position))
    assert b64decode(proof["leaf"]) == leaf
    tree, below, above = head.trees[position.partition], proof["in_partition"], proof["over_partitions"]
    assert (below["index"], below["size"]) == (position.offset, tree.size)
    assert (above["index"], above["size"]) == (position.partition, 4)
    check_inclusion(position.offset, tree.size, leaf, hashes(below["proof"]), tree.root)
    check_inclusion(position.partition, 4, tree.leaf, hashes(above["proof"]), head.root)
    assert (b64decode(below["root"]), b64decode(above["root"])) == (tree.root, head.root)


async def test_later_head_continues_an_earlier_one(alice: httpx.AsyncClient) -> None:
    await written(alice)
    old = TreeHead.parse(Note.parse((await alice.get("/api/audit/tree-head")).text).text)
    await written(alice)
    answer = await alice.get("/api/audit/consistency", params={"from": old.size})
    proof = answer.json()
    assert await checked(alice, proof["old"]) == old
    new = await checked(alice, proof["new"])
    assert new.size > old.size
    for part, before, after in zip(proof["partitions"], old.trees, new.trees, strict=True):
        assert (part["old_size"], part["new_size"]) == (before.size, after.size)
        check_consistency(before.size, after.size, before.root, after.root, hashes(part["proof"]))
    assert any(
        part["proof"] or before.root == EMPTY_ROOT
        for part, before in zip(proof["partitions"], old.trees, strict=True)
    )


async def test_tree_head_is_a_note_or_json_by_accept(alice: httpx.AsyncClient) -> None:
    await written(alice)
    size = TreeHead.parse(Note.parse((await alice.get("/api/audit/tree-head")).text).text).size
    for accept, kind in (
        ("*/*", "text/plain"),
        ("text/plain, application/json;q=0.5", "text/plain"),
        ("application/json", "application/json"),
        ("text/html;q=nonsense, application/*", "application/json"),
    ):
        answer = await alice.get("/api/audit/tree-head", params={"size": size}, headers={"Accept": accept})
        assert answer.headers["content-type"].partition(";")[0] == kind, accept
        assert "Accept" in answer.headers["vary"]
        text = answer.text if kind == "text/plain" else answer.json()["note"]
        assert (await checked(alice, text)).size == size
    found = answer.json()
    assert (found["size"], found["signed_by"]) == (size, [found["origin"]])
    assert sum(each["size"] for each in found["partitions"]) == size


async def test_proof_is_for_those_who_may_see_the_record(
    running_stack: Stack, alice: httpx.AsyncClient
) -> None:
    """Heads and their consistency are for everybody who is signed in, keys for everybody."""
    position = await written(alice)
    async with (
        running_stack.client("bob") as bob,
        running_stack.client("root", admin=True) as root,
        running_stack.client("auditor", auditor=True) as auditor,
    ):
        answer = await bob.get("/api/audit/proof", params={"position": position})
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"there is no record at {position} that you may see"
        for other in (root, auditor):
            answer = await other.get("/api/audit/proof", params={"position": position})
            assert answer.status_code == 200, answer.text
        head = await bob.get("/api/audit/tree-head")
        size = TreeHead.parse(Note.parse(head.text).text).size
        assert (await bob.get("/api/audit/consistency", params={"from": size})).status_code == 200
        del bob.headers["Authorization"]
        assert (await bob.get("/api/audit/keys")).status_code == 200
        for path in ("tree-head", f"proof?position={position}", f"consistency?from={size}"):
            assert (await bob.get(f"/api/audit/{path}")).status_code == 401


CASES = (
    ("proof", 422, "position: is required"),
    ("proof?position=x", 400, "'x' is not a position; one looks like 0:121"),
    ("proof?position=0:999999999", 400, "position: 0:999999999 is beyond the end of the log"),
    ("proof?position=99:0", 400, "position: 99:0 is beyond the end of the log"),
    ("proof?position=POSITION&size=999999999", 404, "no tree head has 999999999 records"),
    ("proof?position=POSITION&size=OLD", 404, "POSITION is not among them"),
    ("tree-head?size=999999999", 404, "no tree head has 999999999 records"),
    ("tree-head?size=-1", 422, "whole number"),
    ("tree-head?sise=1", 400, "unknown parameter 'sise'"),
    ("consistency?from=999999999", 404, "no tree head has 999999999 records"),
    ("consistency", 422, "from: is required"),
    ("consistency?from=NEW&to=OLD", 400, "cannot continue one of NEW"),
)
"""Requests that cannot be answered: path, status and a part of the detail."""


async def test_request_for_another_proof_gets_a_clear_problem(alice: httpx.AsyncClient) -> None:
    await written(alice)
    old = TreeHead.parse(Note.parse((await alice.get("/api/audit/tree-head")).text).text).size
    position = await written(alice)
    new = TreeHead.parse(Note.parse((await alice.get("/api/audit/tree-head")).text).text).size
    for path, status, detail in CASES:
        for name, value in (("POSITION", position), ("OLD", str(old)), ("NEW", str(new))):
            path, detail = path.replace(name, value), detail.replace(name, value)  # noqa: PLW2901
        answer = await alice.get(f"/api/audit/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert detail in answer.json()["detail"]


async def test_cosignature_of_a_witness_is_accepted_and_shown(
    running_stack: Stack, alice: httpx.AsyncClient
) -> None:
    await written(alice)
    note = Note.parse((await alice.get("/api/audit/tree-head")).text)
    head = TreeHead.parse(note.text)
    key = PublicKey(WITNESS.public.name, WITNESS.public.key, COSIGNATURE)
    time_s = int(time.time())
    signature = time_s.to_bytes(8) + WITNESS.private.sign(cosigned_message(note.text, time_s))
    line = Signature(key.name, key.id, signature)
    wrong = Signature(key.name, key.id, time_s.to_bytes(8) + bytes(64))
    other = TreeHead(head.origin, head.time.replace(microsecond=1), head.trees)
    signed_other = time_s.to_bytes(8) + WITNESS.private.sign(cosigned_message(str(other), time_s))
    for sent, status in (
        (Note(note.text, (line,)), 202),
        (Note(note.text, (wrong,)), 400),
        (Note(note.text, note.signatures), 403),
        (Note(str(other), (Signature(key.name, key.id, signed_other),)), 409),
        ("nonsense", 400),
    ):
        answer = await alice.post("/api/audit/cosignatures", json={"note": str(sent)})
        assert answer.status_code == status, answer.text
    assert (await alice.post("/api/audit/cosignatures", json={})).status_code == 422

    async def is_shown() -> bool:
        found = await alice.get("/api/audit/tree-head", params={"size": head.size})
        return Note.parse(found.text).signatures == (*note.signatures, line)

    await eventually(is_shown, LIMIT_S, "the cosignature is not shown")
