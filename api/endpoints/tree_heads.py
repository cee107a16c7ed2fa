"""Tree heads, proofs that records are in them, and the cosignatures of witnesses."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.http.accept import prefers_json
from api.http.bodies import check_type, read_body
from api.http.dependencies import Dependencies, caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from api.http.visibility import may_see
from app.errors import Conflict, Forbidden, Malformed, NotFound, Unavailable
from app.merkle.notes import Note
from app.merkle.tree_heads import TreeHead, base64_of
from app.positions import Position
from app.stream_ids import StreamId
from projections.queries.tree_heads import SignedHead
from streams.tree_heads.keys import verify

TEXT = ("text/plain",)
MAX_NOTE_BYTES = 65_536


class TreeHeadQuery(Query):
    """A selection of a tree head."""

    size: int | None = Field(None, description="The number of records of the head; the last one by default")


class ProofQuery(TreeHeadQuery):
    """A record, and the tree head that it is in."""

    position: str = Field(description="The position of the record", examples=["0:121"])


class ConsistencyQuery(Query):
    """Two tree heads."""

    from_: int = Field(alias="from", description="The number of records of the earlier head")
    to: int | None = Field(None, description="That of the later head; the last one by default")


class PartitionHeadOut(BaseModel):
    """The tree of a partition."""

    partition: int = Field(description="The number of the partition")
    size: int = Field(description="The number of its records")
    root: str = Field(description="The root of its tree, in base64")


class TreeHeadOut(BaseModel):
    """A signed tree head."""

    origin: str = Field(description="The name of the log, and of its keys")
    size: int = Field(description="The number of records in all partitions")
    root: str = Field(description="The root over partitions, in base64")
    time: datetime = Field(description="Time of the signature, UTC")
    partitions: list[PartitionHeadOut] = Field(description="The trees of all partitions, in order")
    signed_by: list[str] = Field(description="The names of the keys that signed it, witnesses included")
    note: str = Field(description="The signed note, as a witness or a verifier needs it")


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


class KeyOut(BaseModel):
    """A public key that verifies tree heads."""

    key: str = Field(description="Name, id and key, as verifiers of signed notes need it")
    since: datetime = Field(description="Time from which it signs, UTC")


class KeysOut(BaseModel):
    """The public keys, the oldest first."""

    keys: list[KeyOut] = Field(description="The keys; the last one whose time has come signs")


async def tree_head(request: Request) -> Response:
    """GET /api/audit/tree-head: the signed note, or JSON for those who prefer it."""
    query = query_of(request, TreeHeadQuery)
    signed = await _head(dependencies_of(request), query.size)
    if prefers_json(request.headers.getlist("accept")):
        answer = object_answer(_out(signed))
    else:
        answer = Response(str(signed.note), media_type="text/plain")
    answer.headers["Vary"] = "Accept"
    return answer


async def inclusion_proof(request: Request) -> Response:
    """GET /api/audit/proof: for those who may see the record."""
    query = query_of(request, ProofQuery)
    deps = dependencies_of(request)
    position = Position.parse(query.position)
    await _check_visible(request, deps, position)
    signed = await _head(deps, query.size)
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
    old, new = await _head(deps, query.from_), await _head(deps, query.to)
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


async def tree_head_keys(request: Request) -> Response:
    """GET /api/audit/keys: for everybody."""
    query_of(request, Query)
    known = await dependencies_of(request).tree_heads.keys()
    return object_answer(KeysOut(keys=[KeyOut(key=str(each.key), since=each.since) for each in known]))


async def add_cosignatures(request: Request) -> Response:
    """POST /api/audit/cosignatures: a tree head with signatures of witnesses that are configured."""
    deps = dependencies_of(request)
    content = await read_body(request, MAX_NOTE_BYTES)
    check_type(request, TEXT)
    try:
        note = Note.parse(content.decode())
        head = TreeHead.parse(note.text)
        witnesses = note.signed_by(deps.settings.witness_keys, verify)
    except ValueError as error:
        raise Malformed(f"the body is not a tree head with cosignatures: {error}") from None
    if not witnesses:
        raise Forbidden("no signature is of a witness that TASKTAPE_WITNESSES names")
    signed = await _head(deps, head.size)
    if signed.note.text != note.text:
        raise Conflict(f"the tree head with {head.size} records is another one")
    theirs = tuple(each for each in note.signatures if any(each.is_of(key) for key in witnesses))
    cosigned = Note(note.text, (*signed.note.signatures, *theirs))
    await deps.tree_head_topic.append(head.size, cosigned)
    return Response(status_code=202)


async def _head(deps: Dependencies, size: int | None) -> SignedHead:
    """Return the tree head of this size, or the last one. Raise `NotFound`."""
    found = await (deps.tree_heads.last() if size is None else deps.tree_heads.of_size(size))
    if found is not None:
        return found
    if size is None:
        raise NotFound("there is no tree head yet")
    raise NotFound(f"no tree head has {size} records")


async def _check_visible(request: Request, deps: Dependencies, position: Position) -> None:
    """Check that the caller may see the record. Raise `NotFound`, `Malformed` beyond the end of the log."""
    caller = caller_of(request)
    found = await deps.audit.at(position)
    if found is None:
        ends = await deps.log.ends()
        if position.offset >= ends.get(position.partition, 0):
            raise Malformed(f"position: {position} is beyond the end of the log")
    elif caller.admin or await _may_see(deps, caller.user, found.event.stream):
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


def _out(signed: SignedHead) -> TreeHeadOut:
    head = signed.head
    return TreeHeadOut(
        origin=head.origin,
        size=head.size,
        root=base64_of(head.root),
        time=head.time,
        partitions=[
            PartitionHeadOut(partition=each.partition, size=each.size, root=base64_of(each.root))
            for each in head.trees
        ],
        signed_by=[each.name for each in signed.note.signatures],
        note=str(signed.note),
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/audit/tree-head",
        tree_head,
        "Get a signed tree head of the log",
        "audit",
        query=TreeHeadQuery,
        problems=(NotFound,),
        answers={200: TreeHeadOut},
    ),
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
    Endpoint(
        "GET",
        "/api/audit/keys",
        tree_head_keys,
        "Get the public keys that verify tree heads",
        "audit",
        query=Query,
        public=True,
        answers={200: KeysOut},
    ),
    Endpoint(
        "POST",
        "/api/audit/cosignatures",
        add_cosignatures,
        "Add signatures of witnesses to a tree head",
        "audit",
        body=str,
        body_types=TEXT,
        problems=(Forbidden, NotFound, Conflict),
        answers={202: None},
    ),
)
