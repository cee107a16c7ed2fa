"""The values of fields that have a fixed set of them."""

from __future__ import annotations

from typing import Literal

Priority = Literal["none", "low", "medium", "high", "urgent"]
Status = Literal["open", "done"]
Role = Literal["owner", "editor", "viewer"]
Category = Literal["open", "active", "done"]
OutcomeName = Literal["pending", "accepted", "superseded", "parked", "skipped"]
