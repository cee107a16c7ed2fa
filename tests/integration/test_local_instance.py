"""A complete local instance with a stand-in for the product: start, kill, stop, in all orders."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasktape.local.causes import find_causes
from tasktape.local.data_dir import DataDir
from tasktape.local.ports import pick_ports
from tasktape.local.processes import Identity
from tasktape.local.running import status
from tests.fork_server import COMMAND_LINE, fork_server
from tests.waiting import LIMIT_S, eventually_sync

INSTANCE = Path(__file__).parents[1] / "local" / "instance.py"
EMBEDDED = ("KAFKA_BROKERS", "DATABASE_URL")


class Instance:
    """One data folder and the `up` that runs on it."""

    def __init__(self, folder: Path) -> None:
        self.data = DataDir(folder / "data")
        self.port = pick_ports(folder / "ports.json", ("api",))["api"]
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes]

    def up(self, *arguments: str, **variables: str) -> None:
        env = {name: value for name, value in os.environ.items() if name not in EMBEDDED} | variables
        with self.output.open("wb") as output:
            command = [sys.executable, str(INSTANCE), str(self.data.root), str(self.port), *arguments]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=env)

    def said(self) -> list[str]:
        return self.output.read_text().splitlines()

    def wait_ready(self) -> None:
        eventually_sync(lambda: "ready" in self.said() or self.process.poll() is not None)
        assert "ready" in self.said(), self.said()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(LIMIT_S)

    def status(self) -> dict[str, Any]:
        return status(self.data)

    def pids(self) -> dict[str, int]:
        return {process["name"]: process["pid"] for process in self.status()["processes"] if process["pid"]}

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [fork_server(COMMAND_LINE).program, *arguments, "--data", str(self.data.root)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def lives(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Yield one folder for all tests here; each leaves it stopped or running."""
    one = Instance(tmp_path_factory.mktemp("instance"))
    one.up()
    one.wait_ready()
    yield one
    if one.stop() != 130:
        one.cli("down")


def ensure_running(instance: Instance) -> None:
    if instance.process.poll() is not None:
        instance.up()
        instance.wait_ready()


def test_status_shows_everything(instance: Instance) -> None:
    """Every process with its figures; the URL of both stores, with the password hidden."""
    ensure_running(instance)
    run = instance.cli("status", "--json")
    assert run.returncode == 0
    found = json.loads(run.stdout)
    names = {process["name"] for process in found["processes"]}
    assert names == {"postgres", "kafka", "migrate", "worker-0", "api", "supervisor"}
    living = [process for process in found["processes"] if process["name"] != "migrate"]
    assert all(process["status"] == "ready" and process["rss_bytes"] > 0 for process in living)
    assert found["ready"] is True
    assert found["lag"] == 0
    assert found["url"] == f"http://127.0.0.1:{instance.port}"
    assert found["kafka"]["embedded"] is True
    assert ":***@127.0.0.1:" in found["database"]["url"]
    assert found["sizes"]["postgres_bytes"] > 1_000_000
    password = (instance.data.postgres / "password").read_text().strip()
    assert password not in run.stdout
    assert "Ready: http://" in instance.cli("status").stdout


def test_doctor_finds_no_fault(instance: Instance) -> None:
    """Every part is checked; exit status 0."""
    ensure_running(instance)
    run = instance.cli("doctor", "--json")
    report = json.loads(run.stdout)
    assert [check for check in report["checks"] if check["status"] == "fail"] == []
    names = [check["name"] for check in report["checks"]]
    assert names == [
        *("python", "java", "kafka-jars", "postgres", "disk", "data", "leftovers", "port"),
        *("kafka", "database", "api", "worker", "token"),
    ]
    assert report["ok"] is True
    assert run.returncode == 0


def test_second_up_is_refused(instance: Instance) -> None:
    """With the pid and the URL, in one line, and nothing changes."""
    ensure_running(instance)
    before = instance.pids()
    for extra in ((), ("--detach",)):
        run = instance.cli("up", "--port", str(instance.port), *extra)
        assert run.returncode == 1
        shown = run.stderr.splitlines()[-1]
        assert shown.startswith(
            f"Error: Tasktape already runs on {instance.data.root}: pid {instance.process.pid}"
        )
        assert shown.endswith(f"http://127.0.0.1:{instance.port}")
    assert instance.pids() == before


def test_taken_port_is_reported_in_one_line(instance: Instance, tmp_path: Path) -> None:
    """With the port and its owner, before anything is started."""
    other = Instance(tmp_path)
    with socket.create_server(("127.0.0.1", other.port)):
        run = other.cli("up", "--port", str(other.port))
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        f"Error: Port {other.port} on 127.0.0.1 is taken by {psutil.Process().name()} (pid {os.getpid()});"
        " choose another one with --port"
    )
    assert not (other.data.kafka / "log").exists()


def test_any_killed_process_is_restarted(instance: Instance) -> None:
    """SIGKILL to each of them in turn: all are ready again, on the same addresses."""
    ensure_running(instance)
    before = instance.status()
    for name in ("api", "worker-0", "postgres", "kafka"):
        pid = instance.pids()[name]
        os.kill(pid, signal.SIGKILL)
        eventually_sync(lambda name=name, pid=pid: instance.pids().get(name, pid) != pid)  # type: ignore[misc]
    eventually_sync(lambda: all(p["status"] in ("ready", "done") for p in instance.status()["processes"]))
    after = instance.status()
    assert (after["kafka"], after["database"]) == (before["kafka"], before["database"])
    assert sum(process["restarts"] for process in after["processes"]) >= 4


@pytest.mark.parametrize("name", ["kafka", "worker-0", "postgres", "api"])
def test_hanging_process_is_named(instance: Instance, name: str) -> None:
    """By status and by doctor, with a remedy; both exit with 1. Then everything is fine again."""
    ensure_running(instance)
    eventually_sync(lambda: instance.status()["ready"])
    pid = instance.pids()[name]
    psutil.Process(pid).suspend()
    try:
        run = instance.cli("status", "--json")
        problems = json.loads(run.stdout)["problems"]
        assert (run.returncode, json.loads(run.stdout)["ready"]) == (1, False)
        assert [each for each in problems if each["name"] == name] == [
            {
                "name": name,
                "status": "fail",
                "detail": f"pid {pid} was stopped by a signal",
                "mend": f"kill -CONT {pid}",
            }
        ]
        assert f"✗ {name}: pid {pid} was stopped by a signal" in instance.cli("status").stdout
        doctor = instance.cli("doctor")
        assert doctor.returncode == 1
        assert f"pid {pid} was stopped by a signal" in doctor.stdout
    finally:
        psutil.Process(pid).resume()
    eventually_sync(lambda: instance.status()["ready"])


def test_worker_without_a_heartbeat_is_named(instance: Instance) -> None:
    """Its ready file is old: the process exists, and its event loop is blocked."""
    ensure_running(instance)
    eventually_sync(lambda: instance.status()["ready"])
    pid = instance.pids()["worker-0"]
    (child,) = [each for each in instance.data.read_run()["processes"] if each["name"] == "worker-0"]
    assert child["status"] == "ready"
    hangs, ready_file = instance.data.root / "hangs", instance.data.root / "worker-0.ready"
    hangs.touch()

    def found() -> list[str]:
        os.utime(ready_file, (time.time() - 60,) * 2)
        return [
            each.detail
            for each in find_causes(instance.data.read_run(), instance.data, b"")
            if each.name == "worker-0"
        ]

    try:
        eventually_sync(lambda: found() == [f"pid {pid} hangs: it gave no sign of life for 60 s"])
    finally:
        hangs.unlink()


def test_full_disk_is_named(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """By status too, while everything still runs."""
    ensure_running(instance)
    eventually_sync(lambda: instance.status()["ready"])
    full = shutil.disk_usage(instance.data.root)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    found = instance.status()
    assert [each["name"] for each in found["problems"]] == ["disk"]
    assert found["ready"] is False


def test_failing_process_is_named_with_its_reason(instance: Instance) -> None:
    """The others keep running, and so does the supervisor, however often it fails."""
    ensure_running(instance)
    eventually_sync(lambda: instance.status()["ready"])
    pids = instance.pids()
    broken = instance.data.root / "broken"
    broken.touch()
    try:
        os.kill(pids["worker-0"], signal.SIGKILL)
        eventually_sync(lambda: (find_worker(instance.status())["restarts"] or 0) >= 4)
        found = instance.status()
        assert found["ready"] is False
        assert [each["name"] for each in found["problems"]] == ["worker-0"]
        assert "worker-0 ended with status 1: the stand-in is broken" in found["problems"][0]["detail"]
        others = {name: pid for name, pid in instance.pids().items() if name != "worker-0"}
        assert others == {name: pid for name, pid in pids.items() if name != "worker-0"}
    finally:
        broken.unlink()
    eventually_sync(lambda: instance.status()["ready"])


def find_worker(found: dict[str, Any]) -> dict[str, Any]:
    """Return the worker as found by status."""
    return next(process for process in found["processes"] if process["name"] == "worker-0")


def test_interrupt_stops_everything_in_order(instance: Instance) -> None:
    """The API first, then the worker, the stores last."""
    ensure_running(instance)
    pids = list(instance.pids().values())
    (instance.data.root / "order").unlink(missing_ok=True)
    assert instance.stop() == 130
    assert (instance.data.root / "order").read_text().split() == ["api", "worker"]
    assert not any(lives(pid) for pid in pids)
    assert not instance.data.run_file.exists()
    for name in ("kafka", "postgres"):
        log = (instance.data.logs / f"{name}.log").read_text()
        assert ("shut down completed" in log) if name == "kafka" else ("database system is shut down" in log)
    down = instance.cli("down")
    assert (down.returncode, down.stdout) == (0, f"Nothing runs on {instance.data.root}\n")
    assert instance.cli("status").returncode == 1


def test_killed_supervisor_leaves_nothing_behind(instance: Instance) -> None:
    """The next `up` ends remaining processes, then finds the ports free and the data there."""
    ensure_running(instance)
    addresses = {key: instance.status()[key] for key in ("kafka", "database", "url")}
    pids = instance.pids()
    instance.process.kill()
    instance.process.wait()
    # One that outlives its supervisor, as on a system without a death signal.
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = Identity.of(orphan.pid)
    assert identity is not None
    run = instance.data.read_run()
    run["processes"].append({"name": "orphan", "stop_signal": 15, "identity": identity.to_json()})
    instance.data.write_run(run)
    instance.up()
    instance.wait_ready()
    assert orphan.wait(LIMIT_S) == -signal.SIGTERM
    assert f"Ended orphan (pid {orphan.pid}), left over from a run that was killed" in instance.said()
    assert not any(lives(pid) for pid in pids.values())
    assert {key: instance.status()[key] for key in addresses} == addresses


def test_down_stops_a_running_instance(instance: Instance) -> None:
    """From another terminal, and repeatedly."""
    ensure_running(instance)
    down = instance.cli("down", "--json")
    assert json.loads(down.stdout) == {"stopped": True, "data": str(instance.data.root)}
    assert instance.process.wait(LIMIT_S) == 0
    assert json.loads(instance.cli("down", "--json").stdout)["stopped"] is False


def test_configured_stores_replace_the_embedded_ones(
    tmp_path: Path, kafka_brokers: str, database_url: str
) -> None:
    """With both variables set nothing is embedded; no password is shown."""
    one = Instance(tmp_path)
    one.up(KAFKA_BROKERS=kafka_brokers, DATABASE_URL=database_url)
    one.wait_ready()
    found = one.status()
    assert {process["name"] for process in found["processes"]} == {"migrate", "worker-0", "api", "supervisor"}
    assert found["kafka"] == {"brokers": kafka_brokers, "embedded": False}
    assert found["database"]["embedded"] is False
    assert ":***@" in found["database"]["url"]
    assert one.stop() == 130


def test_unreachable_store_is_awaited(tmp_path: Path) -> None:
    """One line names the store and the timeout, another one the failure."""
    one = Instance(tmp_path)
    one.up("1", KAFKA_BROKERS="127.0.0.1:1")
    assert one.process.wait(LIMIT_S) == 1
    assert one.said() == [
        "Kafka at 127.0.0.1:1 (KAFKA_BROKERS) does not answer; waiting up to 1 s …",
        "Error: Kafka at 127.0.0.1:1 (KAFKA_BROKERS) did not answer within 1 s",
    ]
    one.up(DATABASE_URL="postgresql://me:secret@127.0.0.1:2/db")
    eventually_sync(lambda: bool(one.said()))
    assert one.stop() == 130
    assert one.said() == [
        "The database at 127.0.0.1:2 (DATABASE_URL) does not answer; waiting up to 60 s …",
        "Stopping …",
    ]


def test_invalid_store_urls_are_reported_in_one_line(tmp_path: Path) -> None:
    """With the variable."""
    one = Instance(tmp_path)
    one.up(KAFKA_BROKERS="host:notaport")
    assert one.process.wait(LIMIT_S) == 1
    assert one.said()[-1].startswith("Error: KAFKA_BROKERS is not an address:")
