"""The finding of `doctor` on tree heads."""

from __future__ import annotations

from uuid import uuid4

from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.queries.workers import WorkerReport, Workers
from tasktape.local.signing import read_signing, signing_finding


async def test_doctor_reports_the_last_tree_head_or_the_reason_for_none(database_url: str) -> None:
    schema = f"d_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    database = await open_database(database_url, schema, pool_size=1)
    workers = Workers(database)

    async def finding(slot: str, **figures: object) -> tuple[str, str] | None:
        await workers.write(WorkerReport(slot, True, [], figures))
        found = signing_finding(await read_signing(database_url, schema))
        return (found[0].status, found[0].detail) if found else None

    try:
        assert await finding("0") is None
        signed = {"size": 12, "signed_at_s": 1.0, "problem": None}
        assert await finding("1", tree_heads=signed) == ("ok", "12 records are signed")
        changed = signed | {"problem": "records were changed"}
        assert await finding("2", tree_heads=changed) == (
            "fail",
            "no tree head is signed: records were changed",
        )
    finally:
        await database.close()
    assert await read_signing("postgresql://127.0.0.1:1/none", schema) is None
