"""Embedded Kafka: starts, keeps its log through SIGKILL, uses another port than a taken one."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tasktape.local.kafka import EmbeddedKafka, broker_answers


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    broker = EmbeddedKafka(tmp_path / "a folder: ünï")
    yield broker
    broker.stop()


async def append(brokers: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all")
    await producer.start()
    await producer.send_and_wait("log", value, partition=0)
    await producer.stop()


async def read(brokers: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition("log", 0)])
    await consumer.seek_to_beginning()
    values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values


async def test_log_survives_sigkill_and_a_taken_port(kafka: EmbeddedKafka) -> None:
    """Acknowledged records are kept, on the same port; on another one if that is taken."""
    brokers = kafka.start()
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    identity = (await admin.describe_cluster())["cluster_id"]
    await admin.create_topics([NewTopic("log", num_partitions=1, replication_factor=1)])
    await admin.close()
    await append(brokers, b"first")
    listeners = {c.laddr.ip for c in psutil.Process(kafka.pid).net_connections() if c.status == "LISTEN"}
    assert {ip.removeprefix("::ffff:") for ip in listeners} == {"127.0.0.1"}

    os.kill(kafka.pid, signal.SIGKILL)
    kafka.stop()
    again = EmbeddedKafka(kafka.folder)
    assert again.start() == brokers
    await append(brokers, b"second")
    again.stop()
    host, port = brokers.split(":")
    with socket.create_server((host, int(port))):
        assert not broker_answers(host, int(port), timeout_s=0.2)
        moved = EmbeddedKafka(kafka.folder)
        try:
            new = moved.start()
            assert new != brokers
            assert await read(new, 2) == [b"first", b"second"]
            admin = AIOKafkaAdminClient(bootstrap_servers=new)
            await admin.start()
            assert (await admin.describe_cluster())["cluster_id"] == identity
            await admin.close()
        finally:
            moved.stop()
