"""Findings: the results of checks, each with a remedy."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    status: Verdict
    detail: str
    mend: str | None = None
