"""Statistics computed from the fold of a log, task by task and day by day: slow, and easy to check by eye."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from app.dates import due_at
from app.log.fold import Folded
from app.statistics.calendar import Days
from app.tasks.state import Task

TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Change:
    """An accepted event of a task."""

    time: datetime
    before: Task | None
    after: Task


@dataclass(frozen=True)
class Naive:
    """The tasks of some lists up to a moment; `waiting` has the stages of each list: True if tasks wait."""

    histories: Sequence[Sequence[Change]]
    lists: frozenset[str]
    waiting: Mapping[str, Mapping[str, bool]]
    moment: datetime

    def state(self, history: Sequence[Change], time: datetime) -> Task | None:
        """Return the task after its newest version with a time up to this, if it is in the lists then."""
        found = [change.after for change in history if change.time <= time]
        task = found[-1] if found else None
        return task if task and task.list_id in self.lists and task.deleted_at is None else None

    def started(self, history: Sequence[Change], task: Task) -> bool:
        """Return whether the task is in no stage, or in one where it does not wait.

        In a stage that its list does not have it waits if that was its first one there.
        """
        stages = self.waiting.get(task.list_id, {})
        if task.stage is None or task.stage in stages:
            return task.stage is None or not stages[task.stage]
        return task.stage != next(
            change.after.stage for change in history if change.after.list_id == task.list_id
        )

    def day(self, start: datetime, end: datetime) -> dict[str, int]:
        """Return the counts of one day."""
        there = [(history, each) for history in self.histories if (each := self.state(history, end - TICK))]
        tasks = [task for _, task in there]
        is_open = [task for task in tasks if task.status == "open"]
        counts = Counter(
            name
            for history in self.histories
            for change in history
            if start <= change.time < end
            for name in self.names(change)
        )
        return {
            **{name: counts[name] for name in ("created", "completed", "reopened", "deleted", "restored")},
            **{name: counts[name] for name in ("moved_in", "moved_out")},
            "throughput": sum(start <= time < end for time, *_ in self.finishes()),
            "open": len(is_open),
            "overdue": sum(self.is_overdue(task, end) for task in is_open),
            "in_progress": sum(
                self.started(history, task) for history, task in there if task.status == "open"
            ),
            "done": len(tasks) - len(is_open),
            "scope": len(tasks),
            "open_minutes": sum(task.estimate or 0 for task in is_open),
            "completed_minutes": sum(
                change.after.estimate or 0
                for history in self.histories
                for change in history
                if start <= change.time < end and "completed" in self.names(change)
            ),
        }

    def is_overdue(self, task: Task, end: datetime) -> bool:
        """Return whether an open task was due before the end of a day, and by the moment."""
        due = None if task.due is None else due_at(task.due, task.time_zone)
        return due is not None and due < end and due <= self.moment

    def names(self, change: Change) -> list[str]:
        """Return what an event counts as in the lists."""
        before, after = change.before, change.after
        if before is None:
            return ["created"] if after.list_id in self.lists else []
        was, now = before.deleted_at is None, after.deleted_at is None
        found = []
        if before.list_id != after.list_id and was and now:
            found += ["moved_out"] if before.list_id in self.lists else []
            found += ["moved_in"] if after.list_id in self.lists else []
        elif was and not now:
            found += ["deleted"] if before.list_id in self.lists else []
        elif now and not was:
            found += ["restored"] if after.list_id in self.lists else []
        if was and now and before.status != after.status and after.list_id in self.lists:
            found.append("completed" if after.status == "done" else "reopened")
        return found

    def finishes(self) -> list[tuple[datetime, float, float]]:
        """Return the time of each completion that stands, with its lead time and its cycle time."""
        found = []
        for history in self.histories:
            by_list: dict[str, list[Change]] = defaultdict(list)
            for change in history:
                if {"completed", "reopened"}.intersection(self.names(change)):
                    by_list[change.after.list_id].append(change)
            for list_id, turns in by_list.items():
                if turns[-1].after.status == "done":
                    time, created = turns[-1].time, turns[-1].after.created_at
                    start = self.start(history, list_id) or created
                    found.append(
                        (
                            time,
                            max(0.0, (time - created).total_seconds()),
                            max(0.0, (time - start).total_seconds()),
                        )
                    )
        return found

    def start(self, history: Sequence[Change], list_id: str) -> datetime | None:
        """Return the first time at which the task had started in the list."""
        for time in sorted(change.time for change in history):
            task = self.state(history, time)
            if task and task.list_id == list_id and self.started(history, task):
                return time
        return None

    def days(self, days: Days) -> list[dict[str, Any]]:
        """Return the counts of each day."""
        return [
            {"date": day, **self.day(start, end)}
            for day, (start, end) in zip(days.dates, pairwise(days.bounds), strict=False)
        ]

    def times(self, days: Days) -> tuple[list[float], list[float]]:
        """Return the lead times and the cycle times of the tasks that were finished on these days."""
        first, *_, end = days.bounds
        chosen = [times for time, *times in self.finishes() if first <= time < end]
        return sorted(lead for lead, _ in chosen), sorted(cycle for _, cycle in chosen)

    def flow(self, days: Days) -> Mapping[tuple[str | None, str], list[int]]:
        """Return the number of tasks at the end of each day by stage and status."""
        found: dict[tuple[str | None, str], list[int]] = defaultdict(lambda: [0] * len(days.dates))
        for place, end in enumerate(days.bounds[1:]):
            for history in self.histories:
                if task := self.state(history, end - TICK):
                    found[task.stage, task.status][place] += 1
        return dict(found)

    def groups(self, days: Days, field: str) -> Mapping[str | None, dict[str, list[int]]]:
        """Return the counts of each group of tasks on each day."""
        names = ("created", "completed", "open", "overdue", "done")
        found: dict[str | None, dict[str, list[int]]] = defaultdict(
            lambda: {name: [0] * len(days.dates) for name in names}
        )
        bounds = days.bounds
        for place, (start, end) in enumerate(pairwise(bounds)):
            for history in self.histories:
                if task := self.state(history, end - TICK):
                    for key in keys(task, field):
                        found[key][task.status][place] += 1
                        overdue = task.status == "open" and self.is_overdue(task, end)
                        found[key]["overdue"][place] += overdue
                for change in history:
                    if start <= change.time < end:
                        for name in {"created", "completed"}.intersection(self.names(change)):
                            for key in keys(change.after, field):
                                found[key][name][place] += 1
        return dict(found)


def keys(task: Task, field: str) -> Sequence[str | None]:
    """Return the groups of a task."""
    match field:
        case "assignee":
            return task.assignees or (None,)
        case "tag":
            return task.tags or (None,)
        case "list":
            return (task.list_id,)
        case _:
            return (getattr(task, field),)


def naive_statistics(
    folded: Iterable[Folded],
    lists: Iterable[str],
    waiting: Mapping[str, Mapping[str, bool]],
    moment: datetime,
    *,
    as_of: datetime | None = None,
    as_recorded_at: datetime | None = None,
) -> Naive:
    """Return the statistics of these lists by the accepted events up to both times."""
    histories: dict[str, list[Change]] = defaultdict(list)
    for each in folded:
        if each.outcome != "accepted" or not isinstance(each.after, Task) or each.record is None:
            continue
        if as_of is not None and each.record.time > as_of:
            continue
        if as_recorded_at is not None and each.raw.recorded_at > as_recorded_at:
            continue
        before = each.before if isinstance(each.before, Task) else None
        histories[each.after.id].append(Change(each.record.time, before, each.after))
    return Naive(list(histories.values()), frozenset(lists), waiting, moment)
