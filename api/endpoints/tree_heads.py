"""Tree heads, the keys that verify them, and the cosignatures of witnesses."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.http.accept import prefers_json
from api.http.bodies import read_object
from api.http.dependencies import Dependencies, dependencies_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from app.errors import Conflict, Forbidden, Malformed, NotFound
from app.merkle.notes import Note
from app.merkle.tree_heads import TreeHead, base64_of
from app.validation import validated
from projections.queries.tree_heads import SignedHead
from streams.tree_heads.keys import verify

MAX_BODY_BYTES = 65_536


class TreeHeadQuery(Query):
    """A selection of a tree head."""

    size: int | None = Field(None, description="The number of records of the head; the last one by default")


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


class CosignedHead(BaseModel):
    """A tree head with signatures of witnesses."""

    model_config = ConfigDict(extra="forbid", strict=True)

    note: str = Field(description="The signed note, with the text of the tree head unchanged")


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
    signed = await head_of(dependencies_of(request), query.size)
    if prefers_json(request.headers.getlist("accept")):
        answer = object_answer(_out(signed))
    else:
        answer = Response(str(signed.note), media_type="text/plain")
    answer.headers["Vary"] = "Accept"
    return answer


async def tree_head_keys(request: Request) -> Response:
    """GET /api/audit/keys: for everybody."""
    query_of(request, Query)
    known = await dependencies_of(request).tree_heads.keys()
    return object_answer(KeysOut(keys=[KeyOut(key=str(each.key), since=each.since) for each in known]))


async def add_cosignatures(request: Request) -> Response:
    """POST /api/audit/cosignatures: a tree head with signatures of witnesses that are configured."""
    deps = dependencies_of(request)
    body = validated(CosignedHead, await read_object(request, MAX_BODY_BYTES))
    try:
        note = Note.parse(body.note)
        head = TreeHead.parse(note.text)
        witnesses = note.signed_by(deps.settings.witness_keys, verify)
    except ValueError as error:
        raise Malformed(f"note: it is not a tree head with cosignatures: {error}") from None
    if not witnesses:
        raise Forbidden("no signature is of a witness that TASKTAPE_WITNESSES names")
    signed = await head_of(deps, head.size)
    if signed.note.text != note.text:
        raise Conflict(f"the tree head with {head.size} records is another one")
    theirs = tuple(each for each in note.signatures if any(each.is_of(key) for key in witnesses))
    cosigned = signed.note.with_signatures(theirs)
    if cosigned != signed.note:
        await deps.tree_head_topic.append(head.size, cosigned)
    return Response(status_code=202)


async def head_of(deps: Dependencies, size: int | None) -> SignedHead:
    """Return the tree head of this size, or the last one. Raise `NotFound`."""
    found = await (deps.tree_heads.last() if size is None else deps.tree_heads.of_size(size))
    if found is not None:
        return found
    if size is None:
        raise NotFound("there is no tree head yet")
    raise NotFound(f"no tree head has {size} records")


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
        as_text=True,
        answers={200: TreeHeadOut},
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
        body=CosignedHead,
        example={"note": "tasks.example.com/log\n…\n\n— witness.example.com/w1 jWbPPwAAAABkGFDL…\n"},
        problems=(Forbidden, NotFound, Conflict),
        answers={202: None},
    ),
)
