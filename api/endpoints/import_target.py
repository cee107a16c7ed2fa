"""The list that an import goes to: found or created, with the stages that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from pydantic import BaseModel, ConfigDict

from api.commands.entity_tags import Precondition
from api.commands.handler import CommandHandler
from api.commands.requests import CommandRequest, Pending
from app import authorisation
from app.errors import Conflict, PreconditionFailed, Unavailable
from app.imported_history import ImportedEvent, import_list_id
from app.imported_stages import missing_stages
from app.lists.commands import CreateList, EditList, ListCommand
from app.lists.state import TaskList
from app.stream_ids import list_stream
from app.tasks.commands import CreateTask
from app.validation import validated
from app.values import ListId, Title
from projections.read_models.lists import ListQueries

MAX_DELETED_LISTS = 1_000
MAX_TRIES = 5
"""The most attempts to add stages while others do the same."""
_NO_LIST = "no such list"


class ListById(BaseModel):
    """An existing list."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: ListId


class ListByName(BaseModel):
    """The list that imports of this name go to: that of an earlier import, one of that name, or a new one."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Title


class ImportTarget:
    """Finds, creates and changes the list of an import, on behalf of a user."""

    def __init__(
        self,
        commands: CommandHandler,
        lists: ListQueries,
        user: str,
        wait_s: float,
        correlation_id: str | None,
    ) -> None:
        self._commands = commands
        self._lists = lists
        self._user = user
        self._wait_s = wait_s
        self._correlation_id = correlation_id

    async def find(self, wanted: ListById | ListByName) -> str:
        """Return the id of the list. Raise `NotFound`, `Forbidden`, `Conflict` or `Unavailable`."""
        if isinstance(wanted, ListByName):
            return await self._by_name(wanted.name)
        authorisation.check_in(await self._list(wanted.id), CreateTask, self._user, _NO_LIST)
        return wanted.id

    async def _by_name(self, name: str) -> str:
        for nth in range(MAX_DELETED_LISTS):
            list_id = import_list_id(self._user, name, nth)
            found = await self._list(list_id)
            if found is None:
                named = await self._lists.named(self._user, name)
                return named.id if named else await self._create(list_id, name)
            # It is deleted or transferred: try the next id. A renamed imported list is still the same.
            if authorisation.may(CreateTask, authorisation.role_in(found, self._user)):
                return list_id
        raise Conflict("too many lists of this name were deleted; import under another name")

    async def _create(self, list_id: str, name: str) -> str:
        with suppress(Conflict):  # another import created it concurrently
            await self._carry_out(list_id, CreateList(name=name), "the list is")
        return list_id

    async def add_stages(self, list_id: str, histories: Sequence[Sequence[ImportedEvent]]) -> list[str]:
        """Add the stages of the histories that the list does not have; return their names.

        Raise the errors of `CommandHandler.handle`.
        """
        for _ in range(MAX_TRIES):
            home = await self._list(list_id)
            # A list without its own stages accepts any stage.
            new = missing_stages(home, histories) if home is not None and home.stages else []
            if home is None or not new:
                return []
            command = validated(EditList, {"stages": [*home.stages, *new]})
            current = Precondition(frozenset({home.version}), strict=True)
            try:
                await self._carry_out(list_id, command, "the list's stages are", current)
            except PreconditionFailed:
                continue  # another part of the same import added stages concurrently
            return [each["name"] for each in new]
        raise Conflict("the list's stages are being changed; try again")

    async def locked_list(self, list_id: str) -> TaskList | None:
        """Return the list as it is under its lock. Raise `NotFound` or `Forbidden` if it is gone."""
        home = await self._list(list_id)
        if home is not None:
            authorisation.check(CreateTask, authorisation.role_in(home, self._user), _NO_LIST)
        return home

    async def _list(self, list_id: str) -> TaskList | None:
        state = await self._commands.decisions.state(list_stream(list_id))
        return state if isinstance(state, TaskList) else None

    async def _carry_out(
        self, list_id: str, command: ListCommand, what: str, if_match: Precondition | None = None
    ) -> None:
        """Carry out a command on the list. Raise `Unavailable` if its outcome is not known in time."""
        request = CommandRequest(
            command=command,
            stream=list_stream(list_id),
            user=self._user,
            wait_s=self._wait_s,
            if_match=if_match,
            correlation_id=self._correlation_id,
        )
        if isinstance(await self._commands.handle(request), Pending):
            raise Unavailable(f"{what} written and not visible yet; try again")
