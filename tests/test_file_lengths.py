"""Modules stay short: a file of more than 300 lines has more than one subject."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 300


@pytest.mark.parametrize("package", ["app", "projections", "streams", "api", "tasktape", "client"])
def test_no_module_is_too_long(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
