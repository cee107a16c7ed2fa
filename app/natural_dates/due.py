"""Due dates in English text, resolved: `tomorrow 5pm` becomes a date-time with an offset."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.natural_dates.calendar import Day
from app.natural_dates.dates import Moment, Phrase, phrases

EXAMPLES = "tomorrow, next friday, dec 24 5pm, in 3 days, 2026-12-01, 2026-12-01T09:00"


@dataclass(frozen=True, slots=True)
class When:
    """A day, a time of day or both, or a moment, as named by phrases."""

    day: Day | None = None
    time: time | None = None
    moment: Moment | None = None

    def joined(self, phrase: Phrase) -> When | None:
        """Combine this with another phrase; return None if they contradict each other."""
        names_day = phrase.day is not None or phrase.moment is not None
        if names_day and (self.day is not None or self.moment is not None):
            return None
        if (phrase.time is not None or phrase.moment is not None) and (self.time or self.moment) is not None:
            return None
        return When(
            self.day or phrase.day,
            phrase.time if self.time is None else self.time,
            self.moment or phrase.moment,
        )

    def due(self, now: datetime, zone: ZoneInfo) -> str:
        """Return the value of a task's `due`: a date, or a date-time with its offset in `zone`.

        A time alone is the next such time. A time that clocks skip has the offset from before the change. A
        time that occurs twice is the first one. Raise `ValueError` or `OverflowError` for values outside of
        the calendar.
        """
        today = now.astimezone(zone).date()
        if self.moment is not None:
            moment = self.moment(now).replace(microsecond=0)
            return _checked(moment.astimezone(zone))
        if self.day is not None:
            day = self.day(today)
            return day.isoformat() if self.time is None else moment_of(day, self.time, zone).isoformat()
        assert self.time is not None
        first = moment_of(today, self.time, zone)
        return (first if first > now else moment_of(today + timedelta(days=1), self.time, zone)).isoformat()


def moment_of(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return a local time with its offset. Raise `OverflowError` if there is no such instant."""
    moment = datetime.combine(day, at, zone)
    _checked(moment)
    return moment


def _checked(moment: datetime) -> str:
    """Return the moment as a task's `due`. Raise `ValueError` where offsets had seconds, before 1972."""
    moment.astimezone(UTC)
    if (moment.utcoffset() or timedelta()) % timedelta(minutes=1):
        raise ValueError("an offset has no seconds")
    return moment.isoformat()


def read_when(text: str) -> When | None:
    """Parse a text that is nothing but a day, a time of day, or both; return None for any other text."""
    plain = " ".join(text.split())
    when: When | None = When()
    end = 0
    for phrase in phrases(plain):
        when = None if when is None else when.joined(phrase)
        end = phrase.end
    return when if plain and when is not None and not plain[end:].strip() and end else None


def read_due(text: str, now: datetime, zone: ZoneInfo) -> str:
    """Parse a text as a task's `due`. Raise `ValueError` with a message for users."""
    when = read_when(text)
    if when is not None:
        with suppress(ValueError, OverflowError):
            return when.due(now, zone)
    raise ValueError(f"{text[:100]!r} is not a date; write one such as {EXAMPLES}")


def read_day(text: str) -> Day | None:
    """Parse a text that names a day without a time of day; return None for any other text."""
    when = read_when(text)
    return None if when is None or when.time is not None or when.moment is not None else when.day
