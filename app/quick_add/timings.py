"""The dates, times and repetitions of a quick text, and the choice of those that count.

The last day, the last time and the last repetition count. An ambiguous phrase counts only at the end, before
nothing but signs and phrases that count, or next to a phrase that completes it: `mon ami` and `enjoy the sun`
contain no date, `dentist mon` and `mon 9:00 standup` contain one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from app.natural_dates.dates import Phrase, phrase_at
from app.natural_dates.due import When
from app.natural_dates.recurrence import Repetition, first_due, repetition_at
from app.natural_dates.words import WEEKDAYS
from app.quick_add.blanks import plain_blanks
from app.quick_add.tokens import Word

T = TypeVar("T")
Timing: TypeAlias = Phrase | Repetition
NO_WEEKDAY_AFTER = frozenset(("black", "good", "cyber", "super", "ash", "shrove", "taco", "casual"))
"""Words that change the meaning of a weekday, as in Black Friday."""
NO_DATE_AFTER = frozenset(
    (
        *("the", "a", "an", "my", "your", "his", "her", "our", "their"),
        *("i", "you", "he", "she", "it", "we", "they", "who", "that"),
    )
)
"""Words after which `sun`, `daily` or a weekday alone is no date."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The phrases that count, in order, and the values that they resolve to."""

    timings: tuple[Timing, ...] = ()
    due: str | None = None
    recurrence: str | None = None
    from_completion: bool = False


def timing_at(text: str, at: int) -> Timing | None:
    """Return the longest phrase or repetition that begins at `at`; the only blanks of `text` are spaces."""
    found = [each for each in (phrase_at(text, at), repetition_at(text, at)) if each is not None]
    return max(found, key=lambda each: each.end, default=None)


def choose(
    text: str, words: Sequence[Word], *, now: datetime, zone: ZoneInfo, given: Collection[str]
) -> Chosen:
    """Return the dates and the repetition that count in a text; fields in `given` are not looked for."""
    plain = plain_blanks(text)
    items = list(_items(plain, words))
    counting = [
        each
        for each in _counting(items)
        if not (isinstance(each, Repetition) and "recurrence" in given)
        and not (isinstance(each, Phrase) and "due" in given)
        and _exists(each, now, zone)
    ]
    repetition = _last([each for each in counting if isinstance(each, Repetition)])
    dates = [each for each in counting if isinstance(each, Phrase)]
    day = _last([each for each in dates if _names_day(each)])
    time = _last([each for each in dates if each.time is not None]) if day is None or not day.moment else None
    taken = {each.start: each for each in (repetition, day, time) if each is not None}
    ordered = tuple(taken[start] for start in sorted(taken))
    return _resolved(ordered, repetition, day, time, now=now, zone=zone, given=given)


def _resolved(
    timings: tuple[Timing, ...],
    repetition: Repetition | None,
    day: Phrase | None,
    time: Phrase | None,
    *,
    now: datetime,
    zone: ZoneInfo,
    given: Collection[str],
) -> Chosen:
    """Resolve the chosen phrases together; drop phrases that lie outside of the calendar."""
    at = time.time if time else day.time if day else repetition.time if repetition else None
    try:
        if repetition is None:
            when = When(day.day if day else None, at, day.moment if day else None)
            return Chosen(timings, when.due(now, zone) if timings else None)
        rule = repetition.rule_from(now.astimezone(zone).date())
        due = None
        if "due" not in given:
            named = When(day.day, at, day.moment).due(now, zone) if day else None
            due = named or first_due(repetition, at, now, zone)
        return Chosen(timings, due, rule, repetition.from_completion)
    except (ValueError, OverflowError):
        return Chosen()


def _last(timings: Sequence[T]) -> T | None:
    return timings[-1] if timings else None


def _names_day(phrase: Phrase) -> bool:
    return phrase.day is not None or phrase.moment is not None


def _exists(timing: Timing, now: datetime, zone: ZoneInfo) -> bool:
    """Return whether the calendar contains it."""
    try:
        if isinstance(timing, Phrase):
            When(timing.day, timing.time, timing.moment).due(now, zone)
        else:
            timing.rule_from(now.astimezone(zone).date())
            first_due(timing, timing.time, now, zone)
    except (ValueError, OverflowError):
        return False
    return True


# --- which count -----------------------------------------------------------------------------------------


def _items(plain: str, words: Sequence[Word]) -> Iterator[Word | Timing]:
    """Yield the text's phrases, and the words that are not part of one."""
    end, before = 0, ""
    for word in words:
        if word.start < end:
            continue
        timing = timing_at(plain, word.start) if word.kind == "plain" else None
        if timing is not None and _is_no_date(plain, timing, before.lower()):
            timing = None
        yield timing or word
        end, before = (timing.end, "") if timing else (word.end, word.text)


def _is_no_date(plain: str, timing: Timing, before: str) -> bool:
    """Return whether the preceding word rules out a date."""
    first = plain[timing.start : timing.end].split(maxsplit=1)[0].rstrip(",;.!?").lower()
    return (before in NO_WEEKDAY_AFTER and first in WEEKDAYS) or (
        before in NO_DATE_AFTER and (timing.strength != "sure" or first in WEEKDAYS)
    )


def _counting(items: Sequence[Word | Timing]) -> Iterator[Timing]:
    """Yield the phrases that are unambiguous, that stand at the end, or that an adjacent one completes."""
    counts: Mapping[int, bool] = {
        index: item.strength == "sure" or _is_completed(items, index)
        for index, item in enumerate(items)
        if not isinstance(item, Word)
    }
    is_end, at_end = True, set()
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if isinstance(item, Word):
            is_end = is_end and item.is_sign
        elif not counts[index]:
            if is_end and item.strength == "weak":
                at_end.add(index)
            else:
                is_end = False
    for index, item in enumerate(items):
        if not isinstance(item, Word) and (counts[index] or index in at_end):
            yield item


def _is_completed(items: Sequence[Word | Timing], index: int) -> bool:
    """Return whether a day is next to this time, or a time next to this day, and one is unambiguous."""
    item = items[index]
    neighbours = [items[each] for each in (index - 1, index + 1) if 0 <= each < len(items)]
    return any(
        not isinstance(item, Word)
        and not isinstance(other, Word)
        and _is_day(item) != _is_day(other)
        and "bound" not in {item.strength} & {other.strength}
        for other in neighbours
    )


def _is_day(timing: Timing) -> bool:
    return isinstance(timing, Repetition) or _names_day(timing)
