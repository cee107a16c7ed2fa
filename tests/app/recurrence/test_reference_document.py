"""Examples of docs/reference/recurrence.md."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from app.recurrence.next_date import describe, following, following_completion, normal_rule
from tests.recurrence.rules import series

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "recurrence.md"


def examples(columns: int) -> list[list[str]]:
    """Return the rows with this number of columns that begin with a rule."""
    lines = (line for line in REFERENCE.read_text().splitlines() if line.startswith("| `FREQ="))
    rows = ([cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines)
    return [row for row in rows if len(row) == columns]


@pytest.mark.parametrize(("rule", "words", "due", "then"), examples(4))
def test_rules_have_their_form_words_and_dates(rule: str, words: str, due: str, then: str) -> None:
    dates = then.split(", ")
    goes_on = not {"COUNT", "UNTIL"}.intersection(rule.replace("=", ";").split(";"))
    assert normal_rule(rule) == rule
    assert describe(rule) == words
    assert series(rule, due, None, 1 + len(dates) + (not goes_on)) == [due, *dates]


@pytest.mark.parametrize(("rule", "due", "completed", "by_calendar", "by_completion"), examples(5))
def test_due_and_completion_have_their_dates(
    rule: str, due: str, completed: str, by_calendar: str, by_completion: str
) -> None:
    from_due = following(rule, due, None)
    from_completion = following_completion(rule, datetime.fromisoformat(completed), due, None)
    assert from_due is not None
    assert from_completion is not None
    assert (from_due.due, from_completion.due) == (by_calendar, by_completion)
