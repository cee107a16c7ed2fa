"""Lists and stages that tasks are imported into."""

from __future__ import annotations

from typing import Any

from app.imported_history import import_list_id
from app.lists.commands import CreateList, DeleteList, EditList, RestoreList
from app.lists.state import TaskList
from app.stream_ids import list_stream
from tests.api.importer import Importer, counts, importing, task_with_events
from tests.spec import LIST_ID, OTHER_LIST_ID


async def test_import_finds_or_creates_its_list(importer: Importer) -> None:
    """Created once; found again under its new name; an existing list of that name is used; a deleted one is
    not restored."""
    first = (await importer.done([]))["list_id"]
    assert first == import_list_id("alice", "log", 0)
    await importer.node.applied(EditList(name="Incidents"), f"list:{first}", "alice")
    assert (await importer.done([task_with_events("A")]))["list_id"] == first
    await importer.node.applied(DeleteList(), f"list:{first}", "alice")
    second = (await importer.done([task_with_events("A")]))["list_id"]
    assert second == import_list_id("alice", "log", 1)
    assert importer.task(second, "A").id != importer.task(first, "A").id
    await importer.node.applied(CreateList(name="Home"), f"list:{LIST_ID}", "alice")
    assert (await importer.done([], name=" Home "))["list_id"] == LIST_ID


async def test_two_users_import_the_same_file_separately(importer: Importer) -> None:
    """Each gets a list and tasks of their own."""
    mine, theirs = (
        await importer.done([task_with_events("A")]),
        await importer.done([task_with_events("A")], user="bob"),
    )
    assert mine["list_id"] != theirs["list_id"]
    assert counts(theirs) == (1, 3, 3, 0, [])
    assert importer.task(mine["list_id"], "A").id != importer.task(theirs["list_id"], "A").id


async def test_import_into_an_invisible_list_is_not_found(importer: Importer) -> None:
    """And nothing is written."""
    await importer.node.applied(CreateList(name="Home"), f"list:{LIST_ID}", "bob")
    await importer.done([])
    size = importer.size
    for list_id in (LIST_ID, OTHER_LIST_ID):
        answer = await importer.post({"list": {"id": list_id}, "tasks": [task_with_events("A")]})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert importer.size == size
    mine = await importer.post({"list": {"id": LIST_ID}, "tasks": [task_with_events("A")]}, "bob")
    assert mine.json()["added"] == 3


async def test_import_into_a_deleted_list_is_refused(importer: Importer) -> None:
    """The owner is asked to restore it first; then the import continues."""
    await importer.node.applied(CreateList(name="Home"), f"list:{LIST_ID}", "alice")
    await importer.node.applied(DeleteList(), f"list:{LIST_ID}", "alice")
    await importer.done([])
    size = importer.size
    answer = await importer.post({"list": {"id": LIST_ID}, "tasks": [task_with_events("A")]})
    assert (answer.status_code, answer.json()["detail"]) == (404, "the list was deleted: restore it first")
    assert importer.size == size
    await importer.node.applied(RestoreList(), f"list:{LIST_ID}", "alice")
    mine = await importer.post({"list": {"id": LIST_ID}, "tasks": [task_with_events("A")]})
    assert mine.json()["added"] == 3


async def test_tasks_with_the_same_key_are_distinguished_by_index(importer: Importer) -> None:
    """Without one the request is invalid."""
    body = await importer.done([task_with_events("A"), {**task_with_events("A"), "nth": 1}])
    assert counts(body) == (2, 6, 6, 0, [])
    twice = await importer.post(
        {"list": {"name": "log"}, "tasks": [task_with_events("A"), task_with_events("A")]}
    )
    assert twice.status_code == 422
    assert twice.json()["errors"] == [
        {"field": "tasks.1.key", "message": "is repeated; distinguish the tasks by nth"}
    ]


STAGES = [
    {"name": "Ideas", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Live", "category": "done"},
]


async def staged(importer: Importer) -> str:
    """Return the id of a list with stages of its own."""
    command = CreateList.model_validate({"name": "Staged", "stages": STAGES})
    await importer.node.applied(command, f"list:{LIST_ID}")
    return LIST_ID


def through(*stages: str) -> dict[str, Any]:
    """Return a task that reaches the last stages by edits."""
    first, *others = stages
    received = [
        ("task.created", {"title": "T", "stage": first}),
        *(("task.edited", {"stage": s}) for s in others),
    ]
    return {
        "key": "k",
        "events": [
            {"type": kind, "time": f"2026-01-01T00:00:0{place}Z", "actor": "Ann", "data": data}
            for place, (kind, data) in enumerate(received)
        ],
    }


async def test_imported_stages_follow_the_list() -> None:
    """Unknown stages become one of the list's, an edit to a done stage completes the task, and the response
    says so."""
    async with importing() as importer:
        list_id = await staged(importer)
        answer = await importer.post(
            {"list": {"id": list_id}, "tasks": [through("Queued", "Accepted", "live")]}
        )
        body = answer.json()
        assert body["stages"] == {"Queued": "Ideas", "Accepted": "Doing", "live": "Live"}
        assert (body["settled"], body["added_stages"]) == (1, [])
        await importer.visible(body)
        task = importer.task(list_id, "T")
        assert (task.stage, task.status) == ("Live", "done")
        again = await importer.post(
            {"list": {"id": list_id}, "tasks": [through("Queued", "Accepted", "live")]}
        )
        assert (again.json()["added"], again.json()["present"], again.json()["diverged"]) == (0, 3, [])


async def test_import_adds_missing_stages_on_request() -> None:
    """Tasks are then in those; importing again adds nothing."""
    async with importing() as importer:
        list_id = await staged(importer)
        request = {
            "list": {"id": list_id},
            "add_stages": True,
            "tasks": [through("Queued", "Accepted", "live")],
        }
        body = (await importer.post(request)).json()
        assert (body["added_stages"], body["stages"]) == (["Queued", "Accepted"], {"live": "Live"})
        home = importer.world.fold.states[list_stream(list_id)]
        assert isinstance(home, TaskList)
        assert list(home.stages) == [
            *STAGES,
            {"name": "Queued", "category": "open"},
            {"name": "Accepted", "category": "active"},
        ]
        await importer.visible(body)
        again = (await importer.post(request)).json()
        assert (again["added_stages"], again["added"], again["present"]) == ([], 0, 3)


async def test_more_stages_than_a_list_may_have_are_refused() -> None:
    """Nothing is written."""
    async with importing() as importer:
        list_id = await staged(importer)
        tasks = [
            through(*(f"Stage {task}{number}" for number in range(10))) | {"key": f"k{task}"}
            for task in range(6)
        ]
        answer = await importer.post({"list": {"id": list_id}, "add_stages": True, "tasks": tasks})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "stages"
        assert not any(each.stream.startswith("task:") for each in importer.world.accepted_records)
