"""Proofs that a record is in a tree head, and that a tree head continues an earlier one."""

from __future__ import annotations

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.tree_heads import TreeHeadQuery, head_of
from api.http.dependencies import Dependencies, caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from api.http.visibility import may_see
from app.errors import Malformed, NotFound, Unavailable
from app.merkle.tree_heads import TreeHead, base64_of
from app.positions import Position
from app.stream_ids import StreamId


class ProofQuery(TreeHeadQuery):
    """A record, and the tree head that it is in."""

    position: str = Field(description="The position of the record", examples=["0:121"])


class ConsistencyQuery(Query):
    """Two tree heads."""

    from_: int = Field(alias="from", description="The number of records of the earlier head")
    to: int | None = Field(None, description="That of the later head; the last one by default")


class HashPath(BaseModel):
    """A proof that a leaf is in a tree."""

    index: int = Field(description="The place of the leaf, from 0")
    size: int = Field(description="The number of leaves of the tree")
    root: str = Field(description="The root of the tree, in base64")
    proof: list[str] = Field(description="The hashes from the leaf to the root, in base64 (RFC 9162)")


class InclusionProof(BaseModel):
    """A proof that a record is in a tree head."""

    position: str = Field(description="The position of the record")
    leaf: str = Field(description="The hash of the record, in base64")
    tree_head: str = Field(description="The signed note")
    in_partition: HashPath = Field(description="The proof from the record to the root of its partition")
    over_partitions: HashPath = Field(description="The proof from the partition to the root over partitions")


class PartitionConsistency(BaseModel):
    """A proof that the tree of a partition only grew."""

    partition: int = Field(description="The number of the partition")
    old_size: int = Field(description="The number of its records in the earlier head")
    new_size: int = Field(description="The number of its records in the later head")
    proof: list[str] = Field(description="The hashes of the proof, in base64 (RFC 9162)")


class ConsistencyProof(BaseModel):
    """A proof that one tree head continues another."""

    old: str = Field(description="The signed note of the earlier head")
    new: str = Field(description="The signed note of the later head")
    partitions: list[PartitionConsistency] = Field(description="The proofs of all partitions, in order")


async def inclusion_proof(request: Request) -> Response:
    """GET /api/audit/proof: for those who may see the record."""
    query = query_of(request, ProofQuery)
    deps = dependencies_of(request)
    position = Position.parse(query.position)
    await _check_visible(request, deps, position)
    signed = await head_of(deps, query.size)
    partition, index = position
    head = signed.head
    if index >= head.sizes.get(partition, 0):
        raise _not_covered(position, head, asked=query.size is not None)
    tree = head.trees[partition]
    proof = InclusionProof(
        position=str(position),
        leaf=base64_of(await deps.trees.leaf(partition, index)),
        tree_head=str(signed.note),
        in_partition=HashPath(
            index=index,
            size=tree.size,
            root=base64_of(tree.root),
            proof=list(map(base64_of, await deps.trees.inclusion(partition, index, tree.size))),
        ),
        over_partitions=HashPath(
            index=partition,
            size=len(head.trees),
            root=base64_of(head.root),
            proof=list(map(base64_of, head.partition_proof(partition))),
        ),
    )
    return object_answer(proof)


async def consistency_proof(request: Request) -> Response:
    """GET /api/audit/consistency."""
    query = query_of(request, ConsistencyQuery)
    deps = dependencies_of(request)
    old, new = await head_of(deps, query.from_), await head_of(deps, query.to)
    if old.head.size > new.head.size:
        raise Malformed(
            f"from: a tree head of {new.head.size} records cannot continue one of {old.head.size}"
        )
    sizes = {
        tree.partition: (tree.size, later.size)
        for tree, later in zip(old.head.trees, new.head.trees, strict=True)
    }
    proofs = await deps.trees.consistency(sizes)
    partitions = [
        PartitionConsistency(
            partition=partition,
            old_size=old_size,
            new_size=new_size,
            proof=list(map(base64_of, proofs[partition])),
        )
        for partition, (old_size, new_size) in sizes.items()
    ]
    return object_answer(ConsistencyProof(old=str(old.note), new=str(new.note), partitions=partitions))


async def _check_visible(request: Request, deps: Dependencies, position: Position) -> None:
    """Check that the caller may see the record. Raise `NotFound`, `Malformed` beyond the end of the log."""
    caller = caller_of(request)
    found = await deps.audit.at(position)
    if found is None:
        ends = await deps.log.ends()
        if position.offset >= ends.get(position.partition, 0):
            raise Malformed(f"position: {position} is beyond the end of the log")
    elif caller.sees_all or await _may_see(deps, caller.user, found.event.stream):
        return
    raise NotFound(f"there is no record at {position} that you may see")


async def _may_see(deps: Dependencies, user: str, stream: StreamId | None) -> bool:
    if stream is None:
        return False
    return (stream.kind, stream.key) == ("user", user) or await may_see(deps, user, stream)


def _not_covered(position: Position, head: TreeHead, *, asked: bool) -> NotFound | Unavailable:
    size = head.sizes.get(position.partition, 0)
    covers = f"the tree head of {head.size} records has {size} of partition {position.partition}"
    if asked:
        return NotFound(f"{covers}, and {position} is not among them")
    return Unavailable(f"{covers}, and {position} is not signed yet; the next tree head follows soon")


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/audit/proof",
        inclusion_proof,
        "Prove that a record is in a tree head",
        "audit",
        query=ProofQuery,
        problems=(NotFound,),
        answers={200: InclusionProof},
    ),
    Endpoint(
        "GET",
        "/api/audit/consistency",
        consistency_proof,
        "Prove that a tree head continues an earlier one",
        "audit",
        query=ConsistencyQuery,
        problems=(NotFound,),
        answers={200: ConsistencyProof},
    ),
)
