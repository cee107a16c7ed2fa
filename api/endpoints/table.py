"""The table of endpoints: what the router serves and what the OpenAPI document describes."""

from __future__ import annotations

from api.endpoints import (
    activity,
    audit,
    audit_export,
    audit_exports,
    audit_sql,
    audit_stream,
    bulk,
    comments,
    dead_letters,
    health,
    imports,
    list_diffs,
    list_past,
    lists,
    me,
    members,
    notifications,
    presence,
    quick_add,
    replay,
    statistics,
    stream,
    task_ids,
    task_search,
    tasks,
    tree_heads,
    tree_proofs,
)
from api.http.routing import Endpoint

_RESOURCES = (
    tasks,
    quick_add,
    task_search,
    task_ids,
    comments,
    bulk,
    lists,
    list_diffs,
    list_past,
    members,
    imports,
    activity,
    audit_sql,
    statistics,
    notifications,
    stream,
    replay,
    presence,
    me,
    tree_heads,
    tree_proofs,
    audit,
    audit_stream,
    audit_export,
    audit_exports,
    dead_letters,
    health,
)
"""The modules of the resources, in the order of the documentation."""

ENDPOINTS: tuple[Endpoint, ...] = tuple(each for resource in _RESOURCES for each in resource.ENDPOINTS)
