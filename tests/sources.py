"""The source files of the repository, for tests of its structure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "projections", "streams", "api", "tasktape")
"""The packages of the server."""


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield the path below the root and the text of each Python file in these folders, in order."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
