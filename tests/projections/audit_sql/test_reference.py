"""The reference of the views, and the lists of functions, compared with the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from projections.audit_sql.functions import ALLOWED
from projections.audit_sql.views import VIEWS, View
from projections.generations.function_rights import CALLED
from tests.projections.audit_sql.conftest import Audited

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "audit-sql.md"
COLUMNS = """
    SELECT attname, format_type(atttypid, NULL) AS type FROM pg_attribute
    WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum
"""
WRITTEN = {"timestamp with time zone": "timestamptz"}
FUNCTIONS = """
    SELECT proname, provolatile = 'v' AS volatile FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY($1)
"""


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_columns_are_documented_with_their_types(audited: Audited, view: View) -> None:
    rows = await audited.database.pool.fetch(COLUMNS, f"{audited.views}.{view.name}")
    found = [(row["attname"], WRITTEN.get(row["type"], row["type"])) for row in rows]
    section = PAGE.read_text().split(f"### {view.name}\n")[1].split("\n#")[0]
    lines = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    assert [(name.strip(" `"), kind.strip(" `")) for _, name, kind, *_ in lines] == found


async def test_allowed_functions_exist_and_compute(audited: Audited) -> None:
    """Random values and the clock have no effect either."""
    rows = await audited.database.pool.fetch(FUNCTIONS, sorted(ALLOWED))
    grammar = {"date"}
    assert ALLOWED - {row["proname"] for row in rows} <= grammar
    volatile = {row["proname"] for row in rows if row["volatile"]}
    assert volatile == {"random", "clock_timestamp", "gen_random_uuid"}


async def test_roles_of_the_api_get_the_functions_that_they_call(audited: Audited) -> None:
    found = await audited.database.pool.fetch(
        "SELECT DISTINCT proname FROM pg_proc WHERE proname ~ $1", CALLED
    )
    assert {"set_config", "pg_advisory_lock", "pg_advisory_unlock_all"} <= {row["proname"] for row in found}
