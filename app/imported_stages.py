"""Stages of imported histories in a list that has stages of its own: the list's rules apply to the import.

A stage becomes the list's stage of the same name, compared without case; otherwise the first stage of the
category that its event implies. A task that enters a stage of category done is completed, and reopened by any
other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from app.lists.events import Stage
from app.lists.state import TaskList, category_of, first_stage
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited, TaskEvent, TaskFields, TaskReopened
from app.tasks.state import Task
from app.values import Category

_OPEN: tuple[Category, ...] = ("open", "active")
_ACTIVE: tuple[Category, ...] = ("active", "open")
_DONE: tuple[Category, ...] = ("done",)


class ImportStages:
    """Adapter of imported events to a list; `renamed` maps stages of the source to stages of the list."""

    def __init__(self, home: TaskList | None) -> None:
        self._home = home
        stages = () if home is None else home.stages
        self._by_name = {_folded(each["name"]): each["name"] for each in reversed(stages)}
        self._by_name |= {each["name"]: each["name"] for each in stages}
        self.renamed: dict[str, str] = {}
        self.settled = 0
        """The number of tasks that an edit completed or reopened by its stage."""

    def adapted(self, event: TaskEvent, task: Task | None) -> TaskEvent:
        """Return the event adapted to the list; `task` is the state after the preceding events."""
        if not self._by_name:
            return event
        match event:
            case TaskCreated(stage=stage):
                return replace(event, stage=self._stage(stage, _OPEN, _OPEN))
            case TaskCompleted(stage=stage):
                return replace(event, stage=self._stage(stage, _DONE, _DONE))
            case TaskReopened(stage=stage):
                return replace(event, stage=self._stage(stage, _OPEN, _OPEN))
            case TaskEdited(fields=fields) if "stage" in fields and task is not None:
                return replace(event, fields=self._edited(fields, task))
            case _:
                return event

    def _edited(self, fields: TaskFields, task: Task) -> TaskFields:
        categories = _DONE if task.status == "done" else _ACTIVE
        stage = self._stage(fields["stage"], categories, (*_OPEN, *_DONE))
        status = "done" if category_of(self._home, stage) == "done" else "open"
        if status == task.status:
            return {**fields, "stage": stage}
        self.settled += 1
        return {**fields, "stage": stage, "status": "done" if status == "done" else "open"}

    def _stage(
        self, wanted: str | None, categories: tuple[Category, ...], allowed: tuple[Category, ...]
    ) -> str | None:
        """Return the list's stage of this name if its category is allowed, else the first of a category."""
        named = None if wanted is None else self._by_name.get(wanted) or self._by_name.get(_folded(wanted))
        if named is not None and category_of(self._home, named) in allowed:
            stage: str | None = named
        else:
            stage = first_stage(self._home, *categories) or named
        if wanted is not None and stage is not None and stage != wanted:
            self.renamed[wanted] = stage
        return stage


def missing_stages(home: TaskList, histories: Iterable[Iterable[Mapping[str, object]]]) -> list[Stage]:
    """Return the stages that imported events name and the list lacks, each with its category.

    A stage that a task is completed with is done, one that it is created with is open, and any other is
    active.
    """
    has = {_folded(each["name"]) for each in home.stages}
    found: dict[str, Stage] = {}
    rank: dict[Category, int] = {"open": 0, "active": 1, "done": 2}
    for event in (event for history in histories for event in history):
        data = event.get("data")
        name = data.get("stage") if isinstance(data, Mapping) else None
        if not isinstance(name, str) or _folded(name) in has:
            continue
        category = _CATEGORIES[str(event["type"])]
        known = found.setdefault(_folded(name), {"name": name, "category": category})
        if rank[category] > rank[known["category"]]:
            known["category"] = category
    return list(found.values())


_CATEGORIES: Mapping[str, Category] = {
    "task.created": "open",
    "task.edited": "active",
    "task.completed": "done",
    "task.reopened": "active",
}


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
