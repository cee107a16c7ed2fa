"""The embedded Kafka: one broker in KRaft mode that listens only on the loopback address."""

import contextlib
import os
import shutil
import signal
import socket
import struct
from dataclasses import replace
from pathlib import Path

from tasktape.local.errors import LocalError
from tasktape.local.kafka_home import KafkaHome, escape, install, locate, new_id
from tasktape.local.ports import LOOPBACK, pick_ports
from tasktape.local.processes import Launch, kill, spawn, stop, wait_ready
from tasktape.local.server import Child

TRAINING_LIMIT_S = 120.0
LOG_FLAGS = (
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.BrokerServer=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log.LogManager=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
# One node: nothing to replicate to.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
# A worker that joins alone need not wait for others.
group.initial.rebalance.delay.ms=0
# By default the controller writes a no-op twice a second, for followers it does not have.
metadata.max.idle.interval.ms=0
controller.quorum.append.linger.ms=5
# Kafka leaves it to the system when to write to the disk, which takes half a minute: no more than a second's
# records are to be lost in a power cut.
log.flush.interval.ms=1000
log.flush.scheduler.interval.ms=500
# After a SIGKILL the controller takes the broker for a second one until this has passed (9 s by default).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=1000
"""


class EmbeddedKafka:
    """A broker with its log in `folder`."""

    def __init__(self, folder: Path, home: KafkaHome | None = None, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.home = home or locate()
        self.log = log or self.folder / "kafka.log"
        self._ports: dict[str, int] = {}
        self._child = Child(self)

    def start(self) -> str:
        """Start the broker, wait until it answers and return its address, `host:port`."""
        install(self.home, lambda _done, _total: None, train)
        self._child.start()
        return self.brokers

    def stop(self) -> None:
        """Stop the broker that `start` started."""
        self._child.stop()

    @property
    def pid(self) -> int:
        """Return the process id of the broker that `start` started."""
        return self._child.pid

    @property
    def brokers(self) -> str:
        """Return the broker's address, `host:port`. The first `launch` chooses it."""
        return f"{LOOPBACK}:{self._ports['broker']}"

    def launch(self) -> Launch:
        """Choose ports, write the configuration and return how to start the broker."""
        logs = self.folder / "log"
        self.folder.mkdir(parents=True, exist_ok=True)
        _format(self.home, logs)
        work = self.folder / "tmp"  # where Java unpacks its native libraries
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        if not self._ports:  # once, because clients expect the broker at the same address after a restart
            self._ports = pick_ports(self.folder / "ports.json", ("broker", "controller"))
        properties = self.folder / "server.properties"
        properties.write_text(PROPERTIES.format(host=LOOPBACK, logs=escape(logs), **self._ports))
        return Launch(
            name="kafka",
            argv=(*self._java(work), "kafka.Kafka", str(properties)),
            log=self.log,
            env=os.environ | {"LC_ALL": "C.UTF-8"},  # otherwise Java supports only ASCII file names
            stop_timeout_s=1.0,
            death_signal=signal.SIGTERM,  # it closes its log in time: the next start needs no recovery
        )

    def distrust(self) -> None:
        """Make the broker check every record and rebuild its indexes at its next start.

        Otherwise it trusts files that it closed normally, and everything before the last flush.
        """
        for name in (".kafka_cleanshutdown", "recovery-point-offset-checkpoint"):
            (self.folder / "log" / name).unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Return whether the broker answers and takes part in its cluster."""
        host, port = self.brokers.rsplit(":", 1)
        return broker_answers(host, int(port))

    def _java(self, work: Path) -> tuple[str, ...]:
        cache = self.home.class_cache
        usable = cache.exists() and cache.stat().st_size > 0
        aot = (f"-XX:AOTCache={cache}",) if usable else ()
        return self.home.java_command(*LOG_FLAGS, f"-Djava.io.tmpdir={work}", *aot)


def broker_answers(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Request the cluster's metadata and return whether it contains a live broker."""
    request = struct.pack(">hhihi", 3, 1, 1, -1, 0)  # Metadata v1, correlation 1, no client id, no topics
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(12)
    except OSError:
        return False
    # Length, correlation id, number of brokers.
    return len(answer) == 12 and struct.unpack(">iii", answer)[2] > 0


def train(home: KafkaHome, work: Path, cache: Path) -> None:
    """Run a broker once so that Java records its classes. If that fails, starts are only slower."""
    broker = EmbeddedKafka(work / "training", home)
    launch = broker.launch()
    at = launch.argv.index("-cp")
    recording = (*launch.argv[:at], f"-XX:AOTCacheOutput={cache}", *launch.argv[at:])
    launch = replace(launch, argv=recording, stop_timeout_s=TRAINING_LIMIT_S, death_signal=signal.SIGKILL)
    child = spawn(launch)
    try:
        with contextlib.suppress(LocalError):
            wait_ready(child, launch, broker.is_ready, TRAINING_LIMIT_S)
            stop(child, launch)
    finally:
        kill(child)


def _format(home: KafkaHome, logs: Path) -> None:
    """Give a new log folder its identity; do not change an existing one."""
    if (logs / "meta.properties").exists():
        return
    partial = logs.with_suffix(".new")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(home.formatted, partial)
    (partial / "meta.properties").write_text(
        f"version=1\ncluster.id={new_id()}\nnode.id=1\ndirectory.id={new_id()}\n"
    )
    partial.rename(logs)
