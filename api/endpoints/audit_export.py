"""Exports of the audit as files, which are made while they are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.export.compression import CODINGS, Coding
from api.export.formats import FORMATS, Format, FormatName
from api.export.slots import ExportSlots
from api.export.writing import ExportWriter
from api.http.audit_access import reader_of, record_access
from api.http.audit_parameters import audit_parameters, with_filters
from api.http.content_coding import accepted_coding
from api.http.dependencies import dependencies_of
from api.http.problems import TooMany
from api.http.query import Query
from api.http.routing import Endpoint
from api.transports.download import Download
from app.errors import FieldError, Invalid, Malformed, Unavailable
from app.positions import covers, format_positions, parse_positions
from projections.queries.audit_export import AuditExport

FILE_NAME = "tasktape-audit"
COMPRESSED: Mapping[Coding, tuple[str, str]] = {
    "zstd": ("application/zstd", "zst"),
    "gzip": ("application/gzip", "gz"),
}
"""The content type and the ending of compressed files."""


CONTENT_TYPES = (
    *(each.media_type for each in FORMATS.values()),
    *(media_type for media_type, _ in COMPRESSED.values()),
)


class ExportQuery(Query):
    """The format of an export, and the records of the log that it begins and ends with."""

    format: FormatName = Field(description="The format of the file")
    after: str | None = Field(
        None,
        description="Only records after these positions: the `Tasktape-Position` of an earlier export",
        examples=["0:121,3:44"],
    )
    until: str | None = Field(
        None, description="Only records up to these positions; by default all", examples=["0:130,3:60"]
    )
    limit: int | None = Field(None, ge=1, description="End after so many events")
    compression: Coding | None = Field(
        None, description="Compress the file itself; `Accept-Encoding` compresses it on its way only"
    )


async def export_audit(request: Request) -> Response:
    """GET /api/audit/export."""
    query, wanted = audit_parameters(request, ExportQuery)
    export, chosen = dependencies_of(request).audit_export, FORMATS[wanted.format]
    after = positions_of("after", wanted.after)
    await record_access(request, query, "export")
    until = await until_of(export, wanted.until)
    file_coding = None if chosen.compressed else wanted.compression
    is_plain = not chosen.compressed and file_coding is None
    accepted = accepted_coding(request.headers.getlist("accept-encoding"), CODINGS) if is_plain else None
    media_type, headers = described(chosen, file_coding)
    headers |= {"Tasktape-Position": format_positions(until), "Vary": "Authorization, Accept-Encoding"}
    if accepted is not None:
        headers["Content-Encoding"] = accepted
    if request.method == "HEAD":
        return Response(media_type=media_type, headers=headers)
    reader, read = reader_of(request), export.by_stream if chosen.by_stream else export.by_position
    writer = ExportWriter(chosen, file_coding or accepted, wanted.limit)
    slots = dependencies_of(request).export_slots
    if not slots.take(reader.user):
        raise TooMany("there are too many exports at the same time")
    chunks = _held(slots, reader.user, writer.chunks(lambda: read(query, reader, after, until)))
    # The first page is read before the response begins, so that its errors have a status.
    return Download(await anext(chunks, b""), chunks, media_type, headers)


async def _held(slots: ExportSlots, user: str, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the chunks, and free the slot at the end."""
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    finally:
        slots.free(user)


def positions_of(name: str, text: str | None) -> dict[int, int]:
    """Parse positions. Raise `Invalid`."""
    try:
        return parse_positions(text or "")
    except Malformed as error:
        raise Invalid([FieldError(name, error.detail)]) from None


async def until_of(export: AuditExport, text: str | None) -> dict[int, int]:
    """Return the positions to end at. Raise `Invalid`, and `Unavailable` if they are not reached."""
    reached, wanted = await export.reached(), positions_of("until", text)
    if text is None:
        return reached
    if not covers(reached, wanted):
        raise Unavailable("not yet visible: the read models have not reached the positions in `until`")
    return wanted


def described(chosen: Format, coding: Coding | None) -> tuple[str, dict[str, str]]:
    """Return the content type of a file, and the header with its name."""
    media_type, name = chosen.media_type, f"{FILE_NAME}.{chosen.ending}"
    if coding is not None:
        media_type, ending = COMPRESSED[coding]
        name = f"{name}.{ending}"
    return media_type, {"Content-Disposition": f'attachment; filename="{name}"'}


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/audit/export",
        export_audit,
        "Export events of the audit as a file, which is made while it is sent",
        "audit",
        query=with_filters(ExportQuery),
        answers={200: bytes},
        content_types=CONTENT_TYPES,
        problems=(TooMany,),
    ),
)
