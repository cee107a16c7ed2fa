"""Query strings of the audit: the filters of `app.audit.filters`, and a route's own parameters."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import Field, ValidationError, create_model
from starlette.requests import Request

from api.http.query import Query
from app.audit.filters import FILTERS, nearest
from app.audit.query import AuditQuery, read_query
from app.errors import Malformed
from app.validation import invalid

Own = TypeVar("Own", bound=Query)


def with_filters(own: type[Query]) -> type[Query]:
    """Return the model of all parameters of a route, for its documentation."""
    fields: dict[str, Any] = {}
    for name, each in FILTERS.items():
        details: dict[str, Any] = {"description": each.documentation, "examples": [each.example]}
        fields[name] = (
            (tuple[str, ...], Field((), **details))
            if each.repeatable
            else (str | None, Field(None, **details))
        )
    model: type[Query] = create_model(f"{own.__name__}AndFilters", __base__=own, **fields)
    return model


def audit_parameters(request: Request, own: type[Own]) -> tuple[AuditQuery, Own]:
    """Return the question in a query string, and the route's own parameters.

    Raise `Malformed` for unknown ones, and `Invalid` for wrong values.
    """
    filters: list[tuple[str, str]] = []
    others: dict[str, str] = {}
    for name, text in request.query_params.multi_items():
        if name in FILTERS:
            filters.append((name, text))
        elif name not in own.model_fields:
            known = (*FILTERS, *own.model_fields)
            raise Malformed(f"unknown filter or parameter {name[:50]!r}; {nearest(name, known)}")
        elif name in others:
            raise Malformed(f"the parameter {name!r} is given twice")
        else:
            others[name] = text
    query = read_query(filters)
    try:
        return query, own.model_validate(others)
    except ValidationError as error:
        raise invalid(error) from None
