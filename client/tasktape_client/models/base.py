"""The base of all models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answered(BaseModel):
    """The base of all models: immutable, with unknown fields kept in `model_extra`."""

    # Models are built on first use: the command line imports all of them, and uses one or two.
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    def as_sent(self) -> dict[str, Any]:
        """Return the JSON that the server sent."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)
