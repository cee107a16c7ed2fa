"""The base of the generators of JSON Schemas."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema


class UntitledFields(GenerateJsonSchema):
    """Gives titles to models only: a field `list` titled `List` would be another class to code generators."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Return False: the field's name is enough."""
        return False
