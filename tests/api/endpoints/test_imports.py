"""Imports: each event is written once, and what was changed since is left alone."""

from __future__ import annotations

import asyncio

from app.tasks.commands import DeleteTask, EditTask
from tests.api.importer import Importer, counts, task_with_events
from tests.waiting import eventually


async def test_import_keeps_times_and_actors(importer: Importer) -> None:
    """Imported events are unchanged; their source names the importing user and the run."""
    body = await importer.done(
        [task_with_events("A"), task_with_events("B", 1)], user="al/ice", x_correlation_id="run-1"
    )
    assert counts(body) == (2, 4, 4, 0, [])
    task = importer.task(body["list_id"], "A")
    assert (task.created_by, task.stage, task.version) == ("Ann", "Stage 3", 3)
    assert task.created_at.isoformat() == "2012-05-01T10:00:00+00:00"
    history = importer.history(task)
    assert [record.actor for record in history] == ["Ann", "Bob", "Bob"]
    assert {record.source for record in history} == {"/tasktape/import/al%2Fice"}
    assert {record.correlation_id for record in history} == {"run-1"}


async def test_repeated_import_adds_nothing(importer: Importer) -> None:
    """With or without the position of the first import."""
    first = await importer.done([task_with_events("A"), task_with_events("B")])
    size = importer.size
    again = await importer.done([task_with_events("A"), task_with_events("B")])
    assert counts(again) == (2, 6, 0, 6, [])
    assert again["list_id"] == first["list_id"]
    after = ",".join(f"{partition}:{offset}" for partition, offset in first["positions"].items())
    assert counts(
        await importer.done([task_with_events("A"), task_with_events("B")], tasktape_position=after)
    ) == (2, 6, 0, 6, [])
    assert importer.size == size


async def test_import_adds_what_is_missing(importer: Importer) -> None:
    """New tasks, and new events of existing tasks, and nothing else."""
    await importer.done([task_with_events("A", 2), task_with_events("B")])
    body = await importer.done([task_with_events("A", 4), task_with_events("B"), task_with_events("C", 1)])
    assert counts(body) == (3, 8, 3, 5, [])
    task = importer.task(body["list_id"], "A")
    assert [record.version for record in importer.history(task)] == [1, 2, 3, 4]
    assert task.stage == "Stage 4"


async def test_interrupted_import_continues(importer: Importer) -> None:
    """If the log fails before or after writing, the repetition finds out what is there."""
    await importer.done([])
    for how, added in (("before", 3), ("after", 0)):
        importer.world.log.fails = how
        body = {"list": {"name": "log"}, "tasks": [task_with_events(how)]}
        answer = await importer.post(body)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        importer.world.log.fails = None
        assert counts(await importer.done([task_with_events(how)])) == (1, 3, added, 3 - added, [])


async def test_concurrent_imports_add_each_event_once(importer: Importer) -> None:
    """Racing imports write some records twice; the histories have each event once."""
    bodies = await asyncio.gather(
        *(importer.done([task_with_events("A", 9), task_with_events("B", 5)]) for _ in range(8))
    )
    assert len({body["list_id"] for body in bodies}) == 1
    for title, events in (("A", 9), ("B", 5)):
        task = importer.task(bodies[0]["list_id"], title)
        assert [record.version for record in importer.history(task)] == list(range(1, events + 1))
    again = await importer.done([task_with_events("A", 9), task_with_events("B", 5)])
    assert counts(again) == (2, 14, 0, 14, [])


async def test_import_waits_for_the_read_models(importer: Importer) -> None:
    """Without a position an import sees all earlier writes; a timeout is reported."""
    await importer.done([task_with_events("A")])
    importer.world.hold()
    written = await importer.post({"list": {"name": "log"}, "tasks": [task_with_events("B")]})
    assert written.json()["added"] == 3
    late = await importer.post({"list": {"name": "log"}, "tasks": [task_with_events("B")]}, Prefer="wait=0")
    assert (late.status_code, late.json()["code"]) == (503, "unavailable")
    waiting = asyncio.create_task(importer.done([task_with_events("B")]))
    await eventually(lambda: importer.node.outcomes._waiters > 0)
    importer.world.release()
    assert counts(await waiting) == (1, 3, 0, 3, [])


async def test_diverged_task_is_left_alone(importer: Importer) -> None:
    """A task edited after a part of its history was imported gets no events, and is named."""
    body = await importer.done([task_with_events("A", 2)])
    task = importer.task(body["list_id"], "A")
    await importer.node.applied(EditTask(notes="by hand"), f"task:{task.id}", "alice")
    size = importer.size
    again = await importer.done([task_with_events("A", 4), task_with_events("B", 1)])
    assert counts(again) == (2, 5, 1, 0, ["A"])
    assert importer.size == size + 1


async def test_changes_after_an_import_stay(importer: Importer) -> None:
    """Importing the file again neither undoes nor repeats them."""
    body = await importer.done([task_with_events("A")])
    task = importer.task(body["list_id"], "A")
    await importer.node.applied(EditTask(title="Mine"), f"task:{task.id}", "alice")
    await importer.node.applied(DeleteTask(), f"task:{task.id}", "alice")
    assert counts(await importer.done([task_with_events("A")])) == (1, 3, 0, 3, [])
    assert importer.task(body["list_id"], "Mine").deleted_at is not None
