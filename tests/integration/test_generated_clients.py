"""Clients generated from the OpenAPI document by public generators, used on a running stack."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api.contract import openapi
from tests.integration.stack import Stack

GENERATION_LIMIT_S = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder on the import path, with the document in it."""
    found = tmp_path_factory.mktemp("generated")
    (found / "openapi.json").write_text(openapi.text())
    (found / "config.yml").write_text("post_hooks: []\n")
    sys.path.insert(0, str(found))
    yield found
    sys.path.remove(str(found))


@pytest.fixture(scope="module")
def small(folder: Path) -> str:
    """Generate a package with openapi-python-client."""
    said = _run(
        *("openapi-python-client", "generate", "--meta", "none"),
        *("--path", str(folder / "openapi.json"), "--config", str(folder / "config.yml")),
        *("--output-path", str(folder / "small_client"), "--fail-on-warning"),
    )
    assert "warning" not in said.lower(), said
    return "small_client"


@pytest.fixture(scope="module")
def large(folder: Path) -> str:
    """Generate a package with OpenAPI Generator."""
    said = _run(
        *("openapi-generator-cli", "generate", "-g", "python", "--package-name", "large_client"),
        *("-i", str(folder / "openapi.json"), "-o", str(folder)),
    )
    assert "[error]" not in said.lower(), said
    return "large_client"


def _run(command: str, *arguments: str) -> str:
    finished = subprocess.run(
        [Path(sys.executable).with_name(command), *arguments],
        capture_output=True,
        text=True,
        timeout=GENERATION_LIMIT_S,
        check=False,
    )
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0, said
    return said


def modules_of(package: str) -> list[str]:
    found = importlib.import_module(package)
    return [each.name for each in pkgutil.walk_packages(found.__path__, f"{package}.")]


def test_every_module_of_the_generated_packages_is_importable(small: str, large: str) -> None:
    """With a model for each schema that has fields, under its own name."""
    for package in (small, large):
        for name in modules_of(package):
            importlib.import_module(name)
        models = importlib.import_module(f"{package}.models")
        for name, schema in openapi.document()["components"]["schemas"].items():
            if schema.get("properties"):
                assert isinstance(getattr(models, name), type), (package, name)


def test_operation_names_never_change(small: str) -> None:
    """Programs call functions by the operationId."""
    kept = Path(__file__).parents[1] / "golden" / "operation_ids.json"
    modules = {name.rpartition(".")[2] for name in modules_of(small)}
    assert set(json.loads(kept.read_text())) <= modules


async def test_client_of_openapi_python_client_works(small: str, running_stack: Stack) -> None:
    """Create, read, list, edit at a version, conflict, bulk, and errors, by its functions and models."""
    api, models = importlib.import_module(f"{small}.api"), importlib.import_module(f"{small}.models")
    functions = {name.rpartition(".")[2]: importlib.import_module(name) for name in modules_of(api.__name__)}
    client = importlib.import_module(small).AuthenticatedClient(
        base_url=running_stack.urls[0], token=running_stack.token(f"user-{uuid4().hex[:8]}")
    )

    async def call(name: str, **arguments: Any) -> Any:
        return await functions[name].asyncio_detailed(client=client, **arguments)

    new = models.NewTask(title="Buy milk", due="2026-12-01", tags=["shop"])
    new.reminders = [models.NewReminder(before="PT30M")]
    created = await call("create_task", body=new, idempotency_key=(key := uuid4().hex))
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    task = created.parsed
    assert isinstance(task, models.CreatedTask)
    assert (task.title, task.due, task.tags, task.priority) == ("Buy milk", "2026-12-01", ["shop"], "none")
    assert task.reminders[0].before == "PT30M"
    again = await call("create_task", body=new, idempotency_key=key)
    assert again.parsed.id == task.id

    patch = models.TaskPatch(title="Buy oat milk", due=None)
    edited = await call("edit_task", id=task.id, body=patch, if_match='"1"')
    assert (edited.status_code, edited.parsed.title, edited.parsed.due) == (200, "Buy oat milk", None)
    other = models.TaskPatch(title="Buy soy milk")
    conflict = await call("edit_task", id=task.id, body=other, if_match='"1"')
    assert isinstance(conflict.parsed, models.Problem)
    assert (conflict.status_code, conflict.parsed.code) == (409, "conflict")
    assert conflict.parsed.theirs["title"] == "Buy oat milk"

    page = (await call("list_tasks", limit=1, tag=["shop"], status=models.ListTasksStatus.OPEN)).parsed
    assert ([each.id for each in page.items], page.next_cursor) == ([task.id], None)
    unchanged = await call("get_task", id=task.id, if_none_match=edited.headers["etag"])
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    invalid = (await call("create_task", body=models.NewTask(title=""))).parsed
    assert (invalid.code, invalid.errors[0].field) == ("invalid", "title")

    commands = [
        models.BulkCommand(command=models.BulkCommandCommand.COMPLETE, task_id=task.id, if_match=2),
        models.BulkCommand(command=models.BulkCommandCommand.COMPLETE, task_id=str(uuid4())),
    ]
    done, missing = (await call("bulk", body=models.Bulk(commands=commands))).parsed.outcomes
    assert (done.status, done.task.status) == (200, "done")
    assert (missing.status, missing.problem.code) == (404, "not_found")
    outcome = (await call("outcome", position=done.position)).parsed
    assert (outcome.outcome, outcome.task.version, outcome.list_) == ("accepted", 3, None)

    home = (await call("create_list", body=models.CreateList(name="Home"))).parsed
    viewer = models.MemberRole(role=models.MemberRoleRole.VIEWER)
    members = await call("set_member", id=home.id, user="bob/é", body=viewer)
    assert members.parsed.members["bob/é"] == "viewer"
    items = (await call("list_members", id=home.id)).parsed.items
    assert "bob/é" in [each.user for each in items]
    history = (await call("task_history", id=task.id)).parsed
    assert [each.type_ for each in history.items] == ["task.created", "task.edited", "task.completed"]
    assert (await call("delete_task", id=task.id)).status_code == 204
    undone = await call("undo_change", id=task.id, body=models.ChangeToUndo(), prefer="wait=60")
    assert (undone.status_code, undone.parsed.id) == (200, task.id)


async def test_client_of_openapi_generator_works(large: str, running_stack: Stack) -> None:
    """The same by its classes, in a thread since they block."""
    user = f"user-{uuid4().hex[:8]}"
    await asyncio.to_thread(use_large, large, running_stack.urls[0], running_stack.token(user), user)


def use_large(package: str, url: str, token: str, user: str) -> None:
    found = importlib.import_module(package)
    refused = importlib.import_module(f"{package}.exceptions").ApiException
    with found.ApiClient(found.Configuration(host=url, access_token=token)) as client:
        tasks, lists = found.TasksApi(client), found.ListsApi(client)
        assert found.CallerApi(client).me().user == user
        created = tasks.create_task_with_http_info(
            found.NewTask(title="Buy milk", reminders=[found.NewReminder(at="2027-12-01T08:00:00Z")])
        )
        assert (created.status_code, created.headers["etag"]) == (201, '"1"')
        task = created.data
        edited = tasks.edit_task(task.id, found.TaskPatch(title="Buy oat milk"), if_match='"1"')
        assert (edited.title, edited.version) == ("Buy oat milk", 2)
        with pytest.raises(refused) as conflict:
            tasks.edit_task(task.id, found.TaskPatch(title="Buy soy milk"), if_match='"1"')
        assert conflict.value.status == 409
        assert conflict.value.data.theirs["title"] == "Buy oat milk"
        assert [each.id for each in tasks.list_tasks(limit=5, q="oat").items] == [task.id]
        assert tasks.list_tasks(q="oat").items[0].match.var_field == "title"
        commands = [found.BulkCommand(command="complete", task_id=task.id)]
        outcomes = found.BulkApi(client).bulk(found.Bulk(commands=commands)).outcomes
        assert (outcomes[0].status, outcomes[0].task.status) == (200, "done")
        outcome = found.CallerApi(client).outcome(outcomes[0].position)
        assert (outcome.outcome, outcome.task.id, outcome.list) == ("accepted", task.id, None)
        home = lists.create_list(found.CreateList(name="Home"))
        assert lists.set_member(home.id, "bob", found.MemberRole(role="editor")).members["bob"] == "editor"
        assert lists.list_members(home.id).next_cursor is None
        assert tasks.task_history(task.id).items[0].type == "task.created"
        assert found.ActivityApi(client).activity().items[0].actor == user
