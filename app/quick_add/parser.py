"""Quick add: a task from one line such as `call bob #home !high tomorrow 5pm`.

Text that is not recognised stays in the title, so nothing is lost. `parts` lists the recognised parts and
their fields. docs/reference/quick-add.md describes the language for users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import Field

from app.natural_dates.recurrence import Repetition
from app.quick_add.blanks import plain_blanks
from app.quick_add.timings import Chosen, choose, timing_at
from app.quick_add.tokens import Word, words_of
from app.recurrence.next_date import DATE_LENGTH

MAX_QUICK_CHARS = 2_000
"""The length of a text: a title, and the other fields of the task."""
MAX_LABELS = 50
"""The number of tags, and of persons, that one text may name; further ones stay in the title."""
QuickField = Literal["due", "recurrence", "priority", "tags", "assignees"]
REASONS = {
    "assignees": "nobody in this list is called so",
    "priority": "not a priority: write !low, !medium, !high, !urgent, or !1 (urgent) to !4 (low)",
}


Place = Annotated[int, Field(description="The index of its first character, from 0")]
Length = Annotated[int, Field(description="Its length in characters")]


@dataclass(frozen=True, slots=True)
class ReadPart:
    """A part of a quick text, and the field that it was recognised as."""

    at: Place
    length: Length
    text: Annotated[str, Field(description="The part")]
    field: Annotated[QuickField, Field(description="The field that it sets or, if that has several, adds to")]
    value: Annotated[str, Field(description="The value for the field")]


@dataclass(frozen=True, slots=True)
class UnreadPart:
    """A part of a quick text that looks like a field but stays in the title."""

    at: Place
    length: Length
    text: Annotated[str, Field(description="The part")]
    reason: Annotated[str, Field(description="The reason why it was not recognised")]


ReadParts = Annotated[tuple[ReadPart, ...], Field(description="The recognised parts, in order")]
UnreadParts = Annotated[
    tuple[UnreadPart, ...], Field(description="Parts that look like a field and were not recognised")
]


@dataclass(frozen=True, slots=True)
class QuickTask:
    """A text parsed as a task: its title, its other fields in the API's form, and the recognised parts."""

    title: Annotated[str, Field(description="The text that was not recognised")]
    fields: Annotated[dict[str, Any], Field(description="The other fields of the task")] = field(
        default_factory=dict
    )
    parts: ReadParts = ()
    unread: UnreadParts = ()


@dataclass(frozen=True, slots=True)
class QuickContext:
    """The context of a text: the time, the writer's time zone and id, and the possible assignees.

    Fields in `given` are set in another way: `due`, `recurrence` and `priority` then stay in the title.
    """

    now: datetime
    zone: ZoneInfo
    me: str = ""
    people: Collection[str] = ()
    given: Collection[str] = ()


def read_quick(text: str, context: QuickContext) -> QuickTask:
    """Parse a text. It never fails: text that is not recognised is the title."""
    plain = plain_blanks(text)
    words = words_of(text, context.people, context.me, lambda at: _timing_end(plain, at))
    signs = list(_signs(words, context.given))
    chosen = choose(text, words, now=context.now, zone=context.zone, given=context.given)
    parts = sorted([*map(_part, signs), *_timing_parts(text, chosen)], key=lambda part: part.at)
    return QuickTask(
        _title(text, words, parts),
        _fields(signs, chosen, context),
        tuple(parts),
        tuple(_unread(words, signs, context.given)),
    )


def _timing_end(plain: str, at: int) -> int | None:
    timing = timing_at(plain, at)
    return None if timing is None else timing.end


def _signs(words: Sequence[Word], given: Collection[str]) -> Iterator[Word]:
    """Yield the signs that count: the tags and persons, and the last priority."""
    last = next((word for word in reversed(words) if word.kind == "priority" and word.is_sign), None)
    seen = {"tags": 0, "assignees": 0}
    for word in words:
        if not word.is_sign:
            continue
        if word.kind != "priority" and seen[word.kind] < MAX_LABELS:
            seen[word.kind] += 1
            yield word
        elif word is last and "priority" not in given:
            yield word


def _part(sign: Word) -> ReadPart:
    assert sign.value is not None
    return ReadPart(sign.start, sign.end - sign.start, sign.text, cast("QuickField", sign.kind), sign.value)


def _timing_parts(text: str, chosen: Chosen) -> Iterator[ReadPart]:
    """Yield the parts that are dates, adjacent ones as one, and the recurrence."""
    spans: list[tuple[int, int, QuickField]] = []
    for timing in chosen.timings:
        name: QuickField = "recurrence" if isinstance(timing, Repetition) else "due"
        if spans and name == spans[-1][2] and not text[spans[-1][1] : timing.start].strip():
            spans[-1] = (spans[-1][0], timing.end, name)
        else:
            spans.append((timing.start, timing.end, name))
    for start, end, name in spans:
        value = chosen.due if name == "due" else chosen.recurrence
        assert value is not None
        yield ReadPart(start, end - start, text[start:end], name, value)


def _fields(signs: Sequence[Word], chosen: Chosen, context: QuickContext) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if chosen.due is not None:
        fields["due"] = chosen.due
    if chosen.recurrence is not None:
        fields["recurrence"] = chosen.recurrence
    if chosen.from_completion:
        fields["recurrence_from"] = "completion"
    # Without it nine o'clock would not stay nine o'clock, and a series would not end in the writer's zone.
    if chosen.recurrence is not None or len(chosen.due or "") > DATE_LENGTH:
        fields["time_zone"] = context.zone.key
    for sign in signs:
        if sign.kind == "priority":
            fields["priority"] = sign.value
        elif sign.value not in fields.setdefault(sign.kind, []):
            fields[sign.kind].append(sign.value)
    return fields


def _unread(words: Sequence[Word], signs: Sequence[Word], given: Collection[str]) -> Iterator[UnreadPart]:
    for word in words:
        if (
            word.kind not in {"tags", *REASONS}
            or word in signs
            or (word.kind == "priority" and word.kind in given)
        ):
            continue
        reason = REASONS[word.kind] if word.value is None else "there is another one, or too many"
        yield UnreadPart(word.start, word.end - word.start, word.text, reason)


def _title(text: str, words: Sequence[Word], parts: Sequence[ReadPart]) -> str:
    """Return the text that was not recognised, without the marks that escaped it."""
    kept = [
        word for word in words if not any(part.at <= word.start < part.at + part.length for part in parts)
    ]
    if len(kept) == 1 and kept[0].kind == "quoted" and kept[0].value is not None:
        return kept[0].value
    title = ""
    for place, word in enumerate(kept):
        between = text[kept[place - 1].end : word.start] if place else ""
        title += between if not between.strip() else " "
        title += word.value if word.kind == "escaped" and word.value is not None else word.text
    return title
