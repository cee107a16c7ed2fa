"""Large exports of the audit: jobs that write files, for links that expire."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from api.endpoints.audit_export import CONTENT_TYPES, ExportQuery, described, positions_of, until_of
from api.export.formats import FORMATS
from api.export.job_files import Job
from api.export.jobs import KEPT
from api.export.links import LINK_TTL
from api.http.audit_access import reader_of, record_access
from api.http.audit_parameters import audit_parameters, with_filters
from api.http.dependencies import caller_of, dependencies_of
from api.http.problems import TooMany
from api.http.query import Query
from api.http.requests import path_id, query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from app.errors import Gone, NotFound
from app.positions import format_positions
from projections.queries.audit_export import spans_of


class JobOut(Job):
    """A job, with a link to its file when it is done."""

    progress: float = Field(description="Part of the records that were looked at, from 0 to 1")
    link: str | None = Field(description="Address of the file, for whoever has it; null until it is done")
    link_expires_at: datetime | None = Field(description="The time at which the link expires")


class JobsOut(BaseModel):
    """The jobs of the caller, oldest first."""

    items: list[JobOut]


class LinkQuery(Query):
    """The parts of a link that prove who made it."""

    expires: int = Field(ge=0, description="Time at which the link expires, in seconds since 1970")
    signature: str = Field(max_length=64, description="Signature of the link")


async def start_export(request: Request) -> Response:
    """POST /api/audit/exports."""
    query, wanted = audit_parameters(request, ExportQuery)
    deps, chosen, reader = dependencies_of(request), FORMATS[wanted.format], reader_of(request)
    after = positions_of("after", wanted.after)
    await record_access(request, query, "export")
    until = await until_of(deps.audit_export, wanted.until)
    now = deps.clock()
    job = Job(
        id=deps.new_id(),
        user=reader.user,
        format=wanted.format,
        compression=None if chosen.compressed else wanted.compression,
        query=query.parameters(),
        state="waiting",
        records=chosen.passes * sum(span.last - span.after for span in spans_of(after, until)),
        until=format_positions(until),
        created_at=now,
        expires_at=now + KEPT,
    )
    read = deps.audit_export.by_stream if chosen.by_stream else deps.audit_export.by_position
    if not await deps.exports.start(job, partial(read, query, reader, after, until), wanted.limit):
        raise TooMany("there are too many exports; delete those that are no longer needed")
    answer = object_answer(await _shown(request, job), status=201)
    answer.headers["Location"] = f"/api/audit/exports/{job.id}"
    return answer


async def list_exports(request: Request) -> Response:
    """GET /api/audit/exports."""
    jobs = await dependencies_of(request).exports.of_user(caller_of(request).user)
    return object_answer(JobsOut(items=[await _shown(request, job) for job in jobs]))


async def get_export(request: Request) -> Response:
    """GET /api/audit/exports/{id}."""
    return object_answer(await _shown(request, await _job_of(request)))


async def delete_export(request: Request) -> Response:
    """DELETE /api/audit/exports/{id}."""
    job = await _job_of(request)
    await dependencies_of(request).exports.remove(job.id)
    return Response(status_code=204)


async def export_file(request: Request) -> Response:
    """GET /api/audit/exports/{id}/file."""
    link, deps, job_id = query_of(request, LinkQuery), dependencies_of(request), path_id(request, "file")
    links = await deps.exports.links()
    links.check(job_id, link.expires, link.signature, deps.clock())
    job = await deps.exports.find(job_id)
    path = deps.exports.content(job_id)
    if job is None or job.state != "done":
        raise NotFound("no such file")
    media_type, headers = described(FORMATS[job.format], job.compression)
    return FileResponse(
        path, media_type=media_type, headers={**headers, "Cache-Control": "private, no-store"}
    )


async def _job_of(request: Request) -> Job:
    job = await dependencies_of(request).exports.find(path_id(request, "export"))
    if job is None or job.user != caller_of(request).user:
        raise NotFound("no such export")
    return job


async def _shown(request: Request, job: Job) -> JobOut:
    deps = dependencies_of(request)
    link = expires_at = None
    if job.state == "done":
        expires_at = min(job.expires_at, deps.clock() + LINK_TTL)
        link = (await deps.exports.links()).make(job.id, expires_at)
    progress = 1.0 if job.state == "done" or not job.records else job.looked_at / job.records
    return JobOut(**dict(job), progress=round(progress, 4), link=link, link_expires_at=expires_at)


_JOB = "/api/audit/exports/{id}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/api/audit/exports",
        start_export,
        "Begin an export of the audit that is written to a file",
        "audit",
        query=with_filters(ExportQuery),
        answers={201: JobOut},
        problems=(TooMany,),
    ),
    Endpoint("GET", "/api/audit/exports", list_exports, "List your exports", "audit", answers={200: JobsOut}),
    Endpoint(
        "GET",
        _JOB,
        get_export,
        "Show the progress of an export, and the link to its file",
        "audit",
        answers={200: JobOut},
    ),
    Endpoint(
        "DELETE", _JOB, delete_export, "Cancel an export, and delete its file", "audit", answers={204: None}
    ),
    Endpoint(
        "GET",
        f"{_JOB}/file",
        export_file,
        "Get the file of an export, or a range of it, by its link",
        "audit",
        query=LinkQuery,
        answers={200: bytes},
        content_types=CONTENT_TYPES,
        public=True,
        problems=(Gone,),
    ),
)
