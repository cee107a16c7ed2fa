"""A small world for tests of the relay: a log with its audit, nodes that receive it late, strict clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from api.auth import Identity
from api.broadcast.updates_backend import KafkaUpdates
from api.protocol.client_messages import Refused
from api.protocol.decoding import read_frame
from api.protocol.frames import JSON
from api.relay.context import Relay
from api.relay.feed import UpdateFeed
from api.relay.hub import Hub
from api.relay.replay_buffer import ReplayBuffer
from api.relay.replays import ReplayNode
from api.relay.session import Session
from api.relay.statistics_channel import ListStatistics
from api.replay.turns import Turns
from api.telemetry.counters import RelayCounters
from api.transports.send_queue import SendQueue
from app.channels import Channel
from app.errors import Unauthenticated
from app.log.fold import Outcome
from app.log.updates import Update
from app.positions import Position
from app.stream_ids import StreamId
from tests.memory_audit import MemoryAudit
from tests.memory_past import MemoryPast

NOW = 1_000_000.0


def task_update(
    position: Position,
    task_id: str,
    list_id: str,
    left: str | None = None,
    notified: Collection[str] = (),
    after: tuple[Position, ...] = (),
) -> Update:
    """Return an update of a task in a list, which may have left another list; `notified` get notifications.

    Updates at the positions `after` have to be published before it.
    """
    lists = [f"list:{list_id}", *([f"list:{left}"] if left else [])]
    channels = [*(f"user:{user}" for user in sorted(notified)), *lists, f"task:{task_id}"]
    task = {"id": task_id, "lists": lists}
    value = {"type": "update", "position": str(position), "event": {}, "changes": {}, "task": task}
    return replace(_update(position, f"task:{task_id}", channels, value | {"list": None}), after=after)


def list_update(
    position: Position,
    list_id: str,
    before: Collection[str] | None,
    after: Collection[str] | None,
    *,
    restored: bool = False,
) -> Update:
    """Return an update of a list with members `before` and `after`; None: not there, or deleted by it.

    One that is `restored` by it has its previous members.
    """
    channels = [f"user:{user}" for user in sorted({*(before or ()), *(after or ())})]
    members = dict.fromkeys(after or (), "editor")
    shown = None if after is None else {"id": list_id, "members": members}
    changed = after is not None and before != after
    old = None if before is None else dict.fromkeys(before, "editor")
    changes: dict[str, Any] = {"members": [old, members]} if changed else {"name": ["a", "b"]}
    if after is None or restored:
        changes = {"deleted_at": ["t", None] if restored else [None, "t"]}
    value = {"type": "update", "position": str(position), "event": {}, "changes": changes, "task": None}
    return _update(position, f"list:{list_id}", [*channels, f"list:{list_id}"], value | {"list": shown})


def nothing_update(position: Position) -> Update:
    """Return the update of a record that changed nothing."""
    return _update(position, "task:x", [], {"type": "update"}, outcome="superseded")


def _update(
    position: Position, stream: str, channels: list[str], value: dict[str, Any], outcome: Outcome = "accepted"
) -> Update:
    return Update(
        position=position,
        stream=StreamId(stream),
        event_id=str(position),
        outcome=outcome,
        channels=tuple(map(Channel, channels)),
        value=json.dumps(value).encode(),
        time="2026-01-01T00:00:00.000000Z",
    )


@dataclass
class World(MemoryAudit):
    """Log and read models, always current; nodes receive updates later."""

    members: dict[str, set[str]] = field(default_factory=dict)
    deleted: dict[str, set[str]] = field(default_factory=dict)
    """The members that deleted lists had; those have no `members`."""
    task_lists: dict[str, str] = field(default_factory=dict)

    def changed(self, *lists: str, but: int) -> tuple[Position, ...]:
        """Return where these lists changed last, in partitions other than `but`."""
        places = {each.stream.key: each.position for each in self.updates if each.stream.kind == "list"}
        found = (places.get(list_id) for list_id in lists)
        return tuple(place for place in found if place is not None and place.partition != but)

    # Visibility

    async def lists_at(self, user: str) -> tuple[set[str], dict[int, int]]:
        """See api.relay.channel_access.Visibility."""
        reached = {partition: end - 1 for partition, end in self.ends().items()}
        return await self._lists_of(user), reached

    async def _lists_of(self, user: str) -> set[str]:
        members = dict(self.members)
        for update in reversed(self.updates):
            if update.stream.kind == "list" and not self.has_row(update.position):
                list_id = update.stream.key
                members[list_id] = _members_before(update, members.get(list_id, set()))
        lists = {list_id for list_id in members if user in members[list_id]}
        await self.query()
        return lists

    async def list_of_task_at(self, user: str, task_id: str) -> tuple[str | None, dict[int, int]]:
        """See api.relay.channel_access.Visibility."""
        lists, reached = await self.lists_at(user)
        list_id = self.task_lists.get(task_id)
        return list_id if list_id in lists else None, reached

    # Verify

    async def verify(self, token: str) -> Identity:
        """Return the user whose name is the token."""
        await self.query()
        if token == "bad":
            raise Unauthenticated("the token is not a JSON Web Token")
        return Identity(token, admin=False, expires_at=NOW + 3600)


def _members_before(update: Update, now: set[str]) -> set[str]:
    """Return the users that saw a list before an update, after which those of `now` saw it."""
    changes = json.loads(update.value)["changes"]
    if "deleted_at" in changes:
        users = {each.key for each in update.channels if each.kind == "user"}
        return set() if changes["deleted_at"][0] else users
    before, _ = changes.get("members", (None, None))
    return now if before is None else set(before)


def _closed(_: Mapping[int, int] | None) -> KafkaUpdates:
    raise AssertionError("batches are given by hand")


class Node:
    """API node: a hub that receives the world's updates on request."""

    def __init__(self, world: World, *, ring: int = 1_000) -> None:
        self.world = world
        self.hub = Hub(ReplayBuffer(max_updates=ring), many=1)
        self.hub.published.start({}, world.partitions)
        self.feed = UpdateFeed(
            topic="updates",
            open_backend=_closed,
            audit=world,
            log_ends=world.log_ends,
            hub=self.hub,
            counters=RelayCounters(),
        )
        self.past = MemoryPast(())
        self.clients: list[Client] = []
        """The clients that a fixture disconnects at the end."""
        replays = ReplayNode(self.past, self.hub.watches, Turns(self.hub.counters))
        self.computed: list[str] = []
        """The lists whose statistics were read."""
        self.relay = Relay(
            self.hub,
            world,
            world,
            world,
            now=lambda: NOW,
            replays=replays,
            statistics=ListStatistics(self.hub, self.statistics_of, period_s=0.02),
            chunk=2,
        )

    async def statistics_of(self, list_id: str) -> bytes:
        """Return statistics that have only the number of published updates."""
        self.computed.append(list_id)
        await self.world.query()
        channel, published = f"stats:{list_id}", self.hub.counters.published
        return json.dumps({"type": "stats", "channel": channel, "stats": {"published": published}}).encode()

    def publish_next(self, partition: int, count: int, *, again: int = 0) -> None:
        """Publish the next updates of a partition, after repeating the last `again` ones."""
        following = self.hub.published.positions.get(partition, -1) + 1
        for update in self.world.of_partition(partition)[max(0, following - again) : following + count]:
            self.hub.publish(update)

    async def read(self, parts: Iterable[tuple[int, int]], *, again: int = 0, skipped: int = 0) -> None:
        """Pass one batch of the topic through the feed, with this number of updates for each partition.

        It begins with the last `again` ones repeated, and lacks the next `skipped` ones.
        """
        batch: list[Update] = []
        for partition, count in parts:
            following = self.hub.published.positions.get(partition, -1) + 1
            updates = self.world.of_partition(partition)
            batch.extend(updates[max(0, following - again) : following])
            batch.extend(updates[following + skipped : following + skipped + count])
        await self.feed._deliver_all(batch)

    def publish_all(self) -> None:
        """Publish all updates."""
        for partition in range(self.world.partitions):
            self.publish_next(partition, len(self.world.updates))


class Client:
    """A client that keeps its messages, resumes from its position, and never uses an incomplete recovery."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.positions: dict[int, int] | None = None
        self.got: list[tuple[str, Position]] = []
        self.seen: list[dict[str, Any]] = []
        self.resynced: list[str] = []
        self.session: Session | None = None
        self.send_queue: SendQueue | None = None
        self._task: asyncio.Task[None] | None = None
        self._recovering = 0
        self._recovered: list[tuple[str, Position]] = []
        self._adopt: dict[int, int] = {}
        self.beyond = False
        """True if its positions are beyond the log."""

    def connect(self, node: Node) -> None:
        """Connect and authenticate, resuming if it has a position."""
        since = {} if self.positions is None else {"since": {str(p): o for p, o in self.positions.items()}}
        self.send_queue = SendQueue()
        self.session = Session(node.relay, self.send_queue, uuid4().hex)
        self._recovering, self._recovered = 0, []
        self.send({"type": "authenticate", "token": self.user, **since})

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, to be handled after earlier ones."""
        session, before = self.session, self._task
        assert session is not None

        async def run() -> None:
            if before is not None:
                await before
            for read in read_frame(json.dumps(message), batch=False):
                if isinstance(read, Refused):
                    session.refuse(read)
                else:
                    await session.handle(read)
            await self._settle(session)

        self._task = asyncio.ensure_future(run())

    async def _settle(self, session: Session) -> None:
        while session.needs_catch_up:
            await session.catch_up()

    async def settled(self) -> None:
        """Wait until all sent messages and requests of the hub were handled."""
        if self._task is not None:
            await self._task
        if self.session is not None:
            await self._settle(self.session)

    def poke(self) -> None:
        """Handle the hub's requests, as the connection's third task does."""
        session = self.session
        if session is not None and session.needs_catch_up and (self._task is None or self._task.done()):
            self._task = asyncio.ensure_future(self._settle(session))

    async def disconnect(self) -> None:
        """Drop the connection with all unreceived messages."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.session is not None:
            self.session.close()
        self.session = self.send_queue = self._task = None

    async def receive(self, count: int = 10_000) -> None:
        """Receive at most `count` of the waiting frames."""
        send_queue = self.send_queue
        for _ in range(min(count, len(send_queue) if send_queue else 0)):
            assert send_queue is not None
            for payload in (await send_queue.first()).payloads(JSON):
                self._take(json.loads(payload))
            send_queue.sent()

    def _take(self, message: dict[str, Any]) -> None:
        self.seen.append(message)
        match message["type"]:
            case "authenticated" | "subscribed":
                assert self._recovering == 0, "a reply in the middle of what was missed"
                self._recovering = message["missed"]
                self._adopt = {int(p): o for p, o in message["positions"].items()}
                self._end_recovery()
            case "update" if not message["channel"].startswith("replay:"):
                self._update(message["channel"], Position.parse(message["position"]))
            case "resync":
                self.resynced.append(message["channel"])

    def _update(self, channel: str, position: Position) -> None:
        if self._recovering:
            self._recovered.append((channel, position))
            self._recovering -= 1
            self._end_recovery()
            return
        assert self.positions is not None
        assert self.positions.get(position.partition, -1) < position.offset, "out of order, or twice"
        self.positions[position.partition] = position.offset
        self.got.append((channel, position))

    def _end_recovery(self) -> None:
        if self._recovering == 0:
            self.got.extend(self._recovered)
            self._recovered = []
            before = {} if self.beyond else self.positions or {}
            assert all(self._adopt.get(p, -1) >= o for p, o in before.items()), "positions went back"
            self.positions = self._adopt
