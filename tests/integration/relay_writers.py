"""A persistent writer of commands that records acknowledged ones."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from tasktape_client import Client, Pending, TasktapeError
from tasktape_client.models import Task
from tasktape_client.patience import Patience
from tests.integration.gate import Gate
from tests.waiting import eventually

PASSING = frozenset({None, 202, 404, 429, 502, 503, 504})
"""Also 404: a database that crashed may lack its latest rows, until a worker has made them again."""
PATIENCE = Patience(unanswered_s=5.0, limit_s=5.0, first_delay_s=0.05, longest_delay_s=0.5)
ACKNOWLEDGED_LIMIT_S = 120.0
T = TypeVar("T")


class Writer:
    """Writes as often as allowed. `titles` are the acknowledged ones, each unique."""

    def __init__(
        self, user: str, token: str, node: str, lists: Mapping[str, str], guest: str | None, seed: str
    ) -> None:
        self.gate = Gate(node)
        self.titles: list[str] = []
        self.done = 0
        self.user = user
        self._token = token
        self._lists = dict(lists)
        self._guest = guest
        self._guest_in: set[str] = set()
        self._chance = random.Random(f"{seed} {user}")
        self._tasks: dict[str, Task] = {}
        self._allowed = 0
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.gate.__aenter__()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.gate.__aexit__()

    def allow(self, count: int) -> None:
        """Allow more commands."""
        self._allowed += count
        self._more.set()

    async def reach(self, share: float = 1.0) -> None:
        """Return once a share of the allowed commands is done."""
        wanted = self.done + share * (self._allowed - self.done)

        def reached() -> bool:
            assert self._task is not None
            if self._task.done():
                self._task.result()
            return self.done >= wanted

        await eventually(reached, ACKNOWLEDGED_LIMIT_S, f"what {self.user} wrote was not acknowledged")

    async def _run(self) -> None:
        async with Client(self.gate.url, self._token, patience=PATIENCE) as client:
            self._client = client
            while True:
                while self.done >= self._allowed:
                    self._more.clear()
                    await self._more.wait()
                await self._once(self._choose())
                self.done += 1

    async def _once(self, command: Callable[[str], Awaitable[T]]) -> T:
        """Repeat a command with the same key until it is acknowledged."""
        key = str(UUID(int=self._chance.getrandbits(128)))
        while True:
            try:
                return await command(key)
            except Pending:
                continue
            except TasktapeError as error:
                if error.status not in PASSING:
                    error.add_note(f"{self.user}, key {key}")
                    raise

    def _choose(self) -> Callable[[str], Awaitable[Any]]:
        dice = self._chance.random()
        if dice < 0.3 or not self._tasks:
            return self._create
        if dice < 0.4 and self._guest is not None:
            return self._share
        if dice < 0.45 and self._guest is not None:
            return self._new_list
        if dice < 0.5 and self._guests_only():
            return self._delete_and_restore
        if dice < 0.6:
            return self._move
        return self._comment if dice < 0.7 else self._edit

    def _title(self, key: str) -> str:
        return f"{self.user} {key}"

    def _keep(self, task: Task, *, titled: bool = True) -> None:
        self._tasks[task.id] = task
        if titled:
            self.titles.append(task.title)

    def _any_task(self, key: str) -> Task:
        """Return one of the latest tasks; the same one for repeats of a command."""
        latest = list(self._tasks)[-20:]
        return self._tasks[latest[int(key[:4], 16) % len(latest)]]

    def _any_list(self, key: str, but: str = "") -> str:
        names = [list_id for list_id in self._lists.values() if list_id != but]
        return names[int(key[4:8], 16) % len(names)]

    # --- commands ----------------------------------------------------------------------------------------

    async def _create(self, key: str) -> None:
        self._keep(
            await self._client.create_task(
                self._title(key), list_id=self._any_list(key), notes="n" * 200, key=key
            )
        )

    async def _edit(self, key: str) -> None:
        self._keep(await self._client.edit_task(self._any_task(key).id, {"title": self._title(key)}, key=key))

    async def _comment(self, key: str) -> None:
        await self._client.comment(self._any_task(key).id, f"@bob @carol {key}", key=key)

    async def _move(self, key: str) -> None:
        task = self._any_task(key)
        where = self._any_list(key, task.list_id)
        self._keep(await self._client.move_task(task.id, list_id=where, key=key), titled=False)

    async def _share(self, key: str) -> None:
        """Add the guest, or remove them."""
        assert self._guest is not None
        names = sorted(name for name in self._lists if name.startswith("with guest"))
        list_id = self._lists[names[int(key[:4], 16) % len(names)]]
        if list_id in self._guest_in:
            await self._client.remove_member(list_id, self._guest, key=key)
            self._guest_in.discard(list_id)
        else:
            await self._client.set_member(list_id, self._guest, key=key)
            self._guest_in.add(list_id)

    def _guests_only(self) -> list[str]:
        """Return the lists that are shared only with the guest."""
        return [list_id for name, list_id in self._lists.items() if name.startswith("with guest 0")]

    async def _delete_and_restore(self, key: str) -> None:
        """Delete a list of everyone, and restore it with its contents."""
        lists = self._guests_only()
        list_id = lists[int(key[:4], 16) % len(lists)]
        await self._client.delete_list(list_id, key=key)
        await self._client.restore_list(list_id, key=f"{key} again")

    async def _new_list(self, key: str) -> None:
        """Create another list, which the guest may join later."""
        made = await self._client.create_list(f"More {key}", key=key)
        self._lists[f"with guest {len(self._lists):04}"] = made.id
