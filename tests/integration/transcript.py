"""State of a careful client, according to the rules of the protocol only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from app.positions import Position


class Transcript:
    """Follows the messages of one connection after another; `positions` are those to resume from.

    Updates of lists are kept while they are its own. A list that it joins arrives complete, so earlier
    updates of it are dropped.
    """

    def __init__(self, user: str) -> None:
        self.user = user
        self.positions: dict[str, int] = {}
        self.kept: list[Position] = []
        self.lists: set[str] = set()
        self._found_in: dict[Position, set[str]] = {}
        self._joined: set[str] = set()
        self._recovering = 0
        self._recovered: list[Position] = []
        self._reached: dict[int, int] = {}
        self._adopt: dict[str, int] = {}

    def take(self, message: Mapping[str, Any], *, counts: bool = False) -> None:
        """Apply a message. With `counts` it stays if the connection breaks right after it."""
        match message["type"]:
            case "authenticated":
                self._joined = set()
                self.lists = {each for each in message["channels"] if each.startswith("list:")}
                self._keep(self.lists)
                self._begin(message)
            case "subscribed":
                self.lists.add(message["channel"])
                self._keep(self.lists - {message["channel"]})
                self._begin(message)
            case "unsubscribed":
                self.lists.discard(message["channel"])
                self._keep(self.lists)
            case "update":
                self._update(message, counts=counts)
            case "resync" | "error":
                raise AssertionError(f"{self.user} was told: {message}")

    def cut(self, positions: Mapping[str, int] | None = None) -> None:
        """End the connection: an incomplete recovery is dropped. Resume at `positions`, if given."""
        self._recovering, self._recovered = 0, []
        if positions is not None:
            self.positions = dict(positions)

    def _begin(self, reply: Mapping[str, Any]) -> None:
        assert self._recovering == 0, "a reply in the middle of what was missed"
        self._recovering, self._reached = reply["missed"], {}
        self._adopt = {**reply["positions"]}
        self._end_recovery()

    def _update(self, message: Mapping[str, Any], *, counts: bool) -> None:
        position = Position.parse(message["position"])
        self._look(position, message)
        if self._recovering == 0:
            partition = str(position.partition)
            assert self.positions.get(partition, -1) < position.offset, f"{position} out of order, or twice"
            self.positions[partition] = position.offset
            self.kept.append(position)
            return
        before = self._reached.get(position.partition, -1)
        assert before < position.offset, f"{position} out of order, or twice, in what was missed"
        self._reached[position.partition] = position.offset
        self._recovering -= 1
        (self.kept if counts and self._recovering else self._recovered).append(position)
        self._end_recovery()

    def _look(self, position: Position, message: Mapping[str, Any]) -> None:
        """Check the lists of an update, and whether the user joins one with it."""
        channel, task, task_list = message["channel"], message["task"], message["list"]
        before, after = message["changes"].get("members", (None, None))
        if task_list is not None and "deleted_at" in message["changes"]:
            before, after = None, task_list["members"]  # It was restored.
        if task_list is not None and self.user in (after or {}) and self.user not in (before or {}):
            self._joined.add(f"list:{task_list['id']}")
        # Of what happens to a list itself, that is the list's which came before one was a member.
        found = {channel} if channel.startswith("list:") else set()
        if task is not None:
            left, _ = message["changes"].get("list_id", (None, None))
            found |= {f"list:{each}" for each in (task["list_id"], left) if each is not None}
        if found:
            assert found & self.lists, f"{position} is of a list that it does not have"
            self._found_in[position] = found

    def _end_recovery(self) -> None:
        if self._recovering:
            return
        self._keep(self.lists - self._joined)
        self._joined.clear()
        self.kept.extend(self._recovered)
        self._recovered = []
        went_back = [p for p, offset in self.positions.items() if self._adopt.get(p, -1) < offset]
        assert not went_back, f"positions went back: {self.positions} {self._adopt}"
        self.positions = dict(self._adopt)

    def _keep(self, lists: Collection[str]) -> None:
        """Keep updates of lists, and of their contents."""
        self.kept = [
            position
            for position in self.kept
            if position not in self._found_in or self._found_in[position].intersection(lists)
        ]
