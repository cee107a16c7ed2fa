"""The topics: created once with the right shape, checked at every start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from app.errors import Unavailable, WrongLog
from app.settings import Settings
from projections.generations.log_identity import LogIdentity

VISIBLE_LIMIT_S = 20.0
POLL_S = 0.1
FLUSH, COMPRESSION = "flush.messages", "compression.type"
CHANGEABLE = (FLUSH, COMPRESSION)
"""The parts of a topic's shape that may be changed later; what was written before stays as it is."""
TIMESTAMPS = "message.timestamp.type"
BROKER_TIME, PRODUCER_TIME = "LogAppendTime", "CreateTime"
RESTORE_ADVICE = "; if a restore of it was interrupted, run `tasktape restore` again with the same files"
EACH, NEVER = "1", str(2**63 - 1)
TOPIC_CONFIG = 1
"""The source of a value that is set for the topic itself."""
DAY_MS = 86_400_000
MINUTE_MS = 60_000
MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class TopicShape:
    """The required shape of a topic; `config` values are compared exactly."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    advice: str = "the number is fixed for the life of a log (set TASKTAPE_PARTITIONS to match)"
    """The advice for another number of partitions."""


def events_topic(name: str, partitions: int, replication: int, *, flush: str | None = None) -> TopicShape:
    """Return the shape of the log: never compacted, never trimmed, with the broker's timestamps.

    Records are compressed batch by batch, by our writers or else by the broker. With `flush` "on" a broker
    writes each append to its disk before it acknowledges it. None leaves that setting unchanged.
    """
    return TopicShape(
        name,
        partitions,
        replication,
        {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            TIMESTAMPS: BROKER_TIME,
            COMPRESSION: "zstd",
            "min.insync.replicas": str(min(2, replication)),
            **({} if flush is None else {FLUSH: EACH if flush == "on" else NEVER}),
        },
    )


def updates_topic(name: str, partitions: int, replication: int) -> TopicShape:
    """Return the shape of the updates: kept for a day, because readers of older ones use the audit.

    A message may be as large as an event's data, its changes and the state after it together.
    """
    return TopicShape(
        name,
        partitions,
        replication,
        {
            "cleanup.policy": "delete",
            "retention.ms": str(DAY_MS),
            # Three times as fast as zstd, for messages that are read at once and soon deleted.
            COMPRESSION: "lz4",
            "max.message.bytes": str(8 * MIB),
            "min.insync.replicas": str(min(2, replication)),
        },
    )


def signals_topic(name: str, replication: int) -> TopicShape:
    """Return the shape of the signals: of no use a moment later.

    It has one partition, so that all nodes receive them in the same order.
    """
    return TopicShape(
        name,
        1,
        replication,
        {
            "cleanup.policy": "delete",
            "retention.ms": str(10 * MINUTE_MS),
            "segment.ms": str(5 * MINUTE_MS),
            "segment.bytes": str(64 * MIB),
            "retention.bytes": str(256 * MIB),
            "max.message.bytes": str(MIB),
            "min.insync.replicas": "1",
        },
        advice="delete the topic: nothing in it is of use",
    )


def tree_heads_topic(name: str, replication: int) -> TopicShape:
    """Return the shape of the tree heads: kept as long as the log, in one partition, in their order."""
    return TopicShape(
        name,
        1,
        replication,
        {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            COMPRESSION: "zstd",
            "max.message.bytes": str(MIB),
            "min.insync.replicas": str(min(2, replication)),
        },
        advice="tree heads are in one partition",
    )


def shapes_of(settings: Settings) -> list[TopicShape]:
    """Return the topics that these settings require; the first is the log."""
    shape = settings.partitions, settings.replication
    return [
        events_topic(settings.events_topic, *shape, flush=settings.flush),
        updates_topic(settings.updates_topic, *shape),
        signals_topic(settings.signals_topic, settings.replication),
        tree_heads_topic(settings.tree_heads_topic, settings.replication),
    ]


@asynccontextmanager
async def open_admin(brokers: Sequence[str]) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a client for topics. Raise `Unavailable` if Kafka fails inside."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers), client_id="tasktape")
    try:
        await admin.start()
        yield admin
    except (OSError, KafkaError) as error:
        raise Unavailable(f"Kafka cannot be reached: {error}") from error
    finally:
        await admin.close()


async def ensure_topics(brokers: Sequence[str], shapes: Sequence[TopicShape]) -> LogIdentity:
    """Create missing topics, check the others; return the identity of the log, which is the first topic.

    Raise `WrongLog` for a topic of another shape, `Unavailable` if the brokers cannot be reached.
    """
    async with open_admin(brokers) as admin:
        await create_missing(admin, shapes)
        found = await await_visible(admin, [shape.name for shape in shapes])
        for shape in shapes:
            check_partitions(shape, found[shape.name])
            await _check_config(admin, shape)
        cluster = await admin.describe_cluster()
    return LogIdentity(shapes[0].name, cluster["cluster_id"], shapes[0].partitions)


async def cluster_id(brokers: Sequence[str]) -> str:
    """Return the id of the Kafka cluster of these brokers. Raise `Unavailable`."""
    async with open_admin(brokers) as admin:
        return str((await admin.describe_cluster())["cluster_id"])


async def find_log(brokers: Sequence[str], topic: str) -> LogIdentity | None:
    """Return the identity of a log, or None if there is no such topic. Raise `Unavailable`."""
    async with open_admin(brokers) as admin:
        partitions = await partitions_of(admin, topic)
        if partitions is None:
            return None
        return LogIdentity(topic, (await admin.describe_cluster())["cluster_id"], partitions)


async def partitions_of(admin: AIOKafkaAdminClient, topic: str) -> int | None:
    """Return the number of partitions of a topic, or None if there is no such topic."""
    if topic not in await admin.list_topics():
        return None
    return (await await_visible(admin, [topic]))[topic]


async def create_missing(admin: AIOKafkaAdminClient, shapes: Sequence[TopicShape]) -> None:
    """Create those of the topics that do not exist. Raise `WrongLog` if that is impossible."""
    existing = set(await admin.list_topics())
    new = [
        NewTopic(shape.name, shape.partitions, shape.replication, topic_configs=dict(shape.config))
        for shape in shapes
        if shape.name not in existing
    ]
    if not new:
        return
    response = await admin.create_topics(new)
    for name, code, message in _topic_errors(response):
        if code not in {0, TopicAlreadyExistsError.errno}:
            raise WrongLog(f"the topic {name} cannot be created: {message or f'Kafka error {code}'}")


def _topic_errors(response: object) -> list[tuple[str, int, str | None]]:
    errors = getattr(response, "topic_errors", [])
    return [(error[0], error[1], error[2] if len(error) > 2 else None) for error in errors]


async def await_visible(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Wait until every partition has a leader; return the number of partitions of each topic."""
    deadline = time.monotonic() + VISIBLE_LIMIT_S
    while True:
        described = await admin.describe_topics(list(names))
        ready = {
            topic["topic"]: len(topic["partitions"])
            for topic in described
            if topic["error_code"] == 0
            and topic["partitions"]
            and all(part["leader"] >= 0 and part["error_code"] == 0 for part in topic["partitions"])
        }
        if len(ready) == len(names):
            return ready
        if time.monotonic() > deadline:
            raise Unavailable(f"no leader for {', '.join(sorted(set(names) - set(ready)))}")
        await asyncio.sleep(POLL_S)


def check_partitions(shape: TopicShape, partitions: int) -> None:
    """Raise `WrongLog` for another number of partitions than the shape's."""
    if partitions != shape.partitions:
        raise WrongLog(
            f"the topic {shape.name} has {partitions} partitions, but {shape.partitions} are configured; "
            f"{shape.advice}"
        )


async def _check_config(admin: AIOKafkaAdminClient, shape: TopicShape) -> None:
    found, own = await topic_config(admin, shape.name)
    changed = {name: shape.config[name] for name in CHANGEABLE if name in shape.config}
    if any(found.get(name) != value for name, value in changed.items()):
        await set_topic_config(admin, shape.name, own | changed)
    for name in ("cleanup.policy", "retention.ms", TIMESTAMPS):
        wanted = shape.config.get(name)
        if wanted is not None and found.get(name) != wanted:
            raise WrongLog(
                f"the topic {shape.name} has {name}={found.get(name)}, but needs {name}={wanted}"
                f"{RESTORE_ADVICE if name == TIMESTAMPS else ''}"
            )


async def topic_config(admin: AIOKafkaAdminClient, topic: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return all values of a topic's configuration, and those that are set for the topic itself."""
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    entries = [entry for response in responses for entry in response.resources[0][4]]
    own = {entry[0]: entry[1] for entry in entries if entry[3] == TOPIC_CONFIG}
    return {entry[0]: entry[1] for entry in entries}, own


async def set_topic_config(admin: AIOKafkaAdminClient, topic: str, own: Mapping[str, str]) -> None:
    """Replace the values that are set for a topic itself."""
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(own))])
