"""Counts of events by what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.audit.changed_values import CHANGED_FIELDS
from app.audit.filters import OUTCOMES
from app.audit.groups import PERIODS
from app.audit.keys import field_key
from app.log.records import EVENT_TYPES
from projections.audit_search.conditions import AuditFilter
from projections.audit_search.finding import expected
from projections.postgres.connections import Connection
from projections.postgres.sql_parameters import Parameters
from projections.read_models.audit import PLACE_BITS
from projections.read_models.audit_search import type_number

MOST_GROUPS = 1_000
"""The number of groups in an answer: the largest ones, or the latest periods."""
COUNTING = """
    SET LOCAL enable_sort = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = on;
    SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on;
    SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL work_mem = '64MB';
    SET LOCAL seq_page_cost = 0.1; SET LOCAL random_page_cost = 0.1
"""
RARE = 0.1
"""The share of the rows up to which they are sought by an index, and not checked one by one."""
_HOUR_US = 3_600_000_000
_QUARTER_US = _HOUR_US // 4
_YEAR_1_US = 62_135_596_800_000_000
"""Microseconds from the year 1 to 1970: with them, every time is positive, and divisions round down."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A group: its value in SQL, the number of its events, and the place of one of them."""

    value: int | datetime | None
    count: int
    place: int


_COLUMNS = {
    name: name
    for name in (
        "stream",
        "list_id",
        "actor",
        "type",
        "outcome",
        "source",
        "correlation_id",
        "causation_id",
    )
} | {"partition": f"place >> {PLACE_BITS}", "field": "fields"}


async def counted(
    connection: Connection, chosen: AuditFilter, group: str, zone: str
) -> tuple[list[Counted], bool]:
    """Return groups, the largest first or, of times, the latest first; and whether there are more."""
    parameters = Parameters()
    rare = await _is_rare(connection, chosen)
    conditions = chosen.sought(parameters) if rare else chosen.checked_all(parameters)
    where = " AND ".join(conditions) or "true"
    if group in PERIODS:
        statement = _periods(group, zone, where, parameters)
    else:
        value = _value_of(group, chosen, parameters)
        statement = f"""
            SELECT {value} AS value, count(*) AS count, min(place) AS place FROM audit_search
            WHERE {where} GROUP BY 1 ORDER BY count DESC, place LIMIT {parameters.add(_most(group), "bigint")}
        """  # noqa: S608
    await connection.execute(COUNTING)
    rows = await connection.fetch(statement, *parameters.values)
    found = [Counted(row["value"], row["count"], row["place"]) for row in rows]
    if group == "field":
        return _by_field(found), False
    return found[:MOST_GROUPS], len(found) > MOST_GROUPS


def _most(group: str) -> int:
    # The values of `fields` are combinations.
    return 2**31 if group == "field" else MOST_GROUPS + 1


def _value_of(group: str, chosen: AuditFilter, parameters: Parameters) -> str:
    if group not in ("from", "to"):
        return _COLUMNS[group]
    key = parameters.add(field_key(chosen.query.fields[0]), "bigint")
    return f"changes[array_position(changes, {key}) + {1 if group == 'from' else 2}]"


def _periods(group: str, zone: str, where: str, parameters: Parameters) -> str:
    """Return the statement that counts by short times, of which hours of all zones consist, and adds them."""
    recorded, _, period = group.rpartition("_")
    column = "recorded_at" if recorded else "time"
    short = _HOUR_US if zone == "UTC" else _QUARTER_US
    begin = f"to_timestamp((short * {short} - {_YEAR_1_US}) / 1000000)"
    unit, place = parameters.add(period, "text"), parameters.add(zone, "text")
    return f"""
        SELECT date_trunc({unit}, {begin}, {place}) AS value, sum(count)::bigint AS count,
            min(place) AS place
        FROM (
            SELECT ({column} + {_YEAR_1_US}) / {short} AS short, count(*) AS count, min(place) AS place
            FROM audit_search WHERE {where} GROUP BY 1
        ) AS counted GROUP BY 1 ORDER BY value DESC LIMIT {parameters.add(MOST_GROUPS + 1, "bigint")}
    """  # noqa: S608


async def _is_rare(connection: Connection, chosen: AuditFilter) -> bool:
    if not chosen.conditions:
        return False
    parameters = Parameters()
    matches = await expected(connection, chosen.sought(parameters), parameters)
    rows = await connection.fetchval("SELECT reltuples FROM pg_class WHERE oid = 'audit_search'::regclass")
    return bool(matches <= RARE * max(rows, 1))


def _by_field(found: Sequence[Counted]) -> list[Counted]:
    """Return the groups of the single fields, from those of their combinations."""
    counts: Counter[int | None] = Counter()
    places: dict[int | None, int] = {}
    for group in found:
        fields = _fields_in(group.value) if isinstance(group.value, int) else [None]
        for each in fields:
            counts[each] += group.count
            places[each] = min(group.place, places.get(each, group.place))
    return [Counted(each, count, places[each]) for each, count in counts.most_common()]


def _fields_in(mask: int) -> list[int | None]:
    return [at for at in range(len(CHANGED_FIELDS)) if mask >> at & 1]


_TYPES: Mapping[int, str] = {type_number(name): name for name in EVENT_TYPES}


def known_text(group: str, value: object) -> str | None:
    """Return the text of a group whose values are numbered, if it is one of those."""
    if not isinstance(value, int):
        return None
    match group:
        case "type":
            return _TYPES.get(value)
        case "outcome":
            return OUTCOMES[value]
        case "field":
            return CHANGED_FIELDS[value]
        case _:
            return str(value)
