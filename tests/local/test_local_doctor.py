"""`tasktape doctor` on a faulty machine: each failure with a remedy."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tasktape.cli import main
from tasktape.local.causes import check_disk
from tasktape.local.checks import check_data, check_jars, check_leftovers, check_port
from tasktape.local.data_dir import DataDir
from tasktape.local.findings import Finding
from tasktape.local.jars import Jar
from tasktape.local.kafka_home import KafkaHome
from tasktape.local.live_checks import check_api, check_database, check_kafka, check_token
from tasktape.local.ports import LOOPBACK
from tasktape.local.stack import Options
from tasktape.local.tokens import mint

SECRET = "s" * 64


def jar(content: bytes, name: str) -> Jar:
    return Jar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())


def doctor(data: Path, *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["doctor", "--data", str(data), *arguments], env=env)


def assert_repaired(finding: Finding, status: str, detail: str, mend: str) -> None:
    assert finding.status == status
    assert detail in finding.detail
    assert mend in (finding.mend or "")


def test_stopped_instance_is_no_failure(tmp_path: Path) -> None:
    """The line says how to start it."""
    run = doctor(tmp_path / "data", "--json", "--port", "28999")
    report = json.loads(run.output)
    assert report["checks"][-1] == {
        "name": "instance",
        "status": "warn",
        "detail": "nothing runs on this data folder",
        "mend": "tasktape up",
    }


def test_failure_is_exit_status_1(tmp_path: Path) -> None:
    """Its line has a cross and a remedy."""
    run = doctor(tmp_path, KAFKA_BROKERS="127.0.0.1:1", DATABASE_URL="postgresql://u:p@127.0.0.1:2/d")
    assert run.exit_code == 1
    lines = run.output.splitlines()
    assert any(line.startswith("✗ kafka ") and "127.0.0.1:1 does not answer" in line for line in lines)
    assert any(line.startswith("✗ database ") for line in lines)
    assert not any("java" in line for line in lines)


def test_taken_port_names_its_program(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert_repaired(
            check_port(DataDir(tmp_path), LOOPBACK, port), "fail", f"{port} is taken by", "--port"
        )
    assert check_port(DataDir(tmp_path), LOOPBACK, port).status == "ok"


def test_jars_are_checked(tmp_path: Path) -> None:
    """Missing, incomplete, damaged, and complete."""
    good, other = jar(b"good", "kafka_2.13"), jar(b"other", "other")
    home = KafkaHome(tmp_path, (good, other), Path("java"), "25")
    assert check_jars(home).status == "warn"
    home.jar_folder.mkdir()
    (home.jar_folder / good.file_name).write_bytes(b"good")
    assert_repaired(check_jars(home), "fail", other.file_name, "fetches the rest")
    (home.jar_folder / other.file_name).write_bytes(b"OTHER")
    assert_repaired(check_jars(home), "fail", other.file_name, f"delete {tmp_path}")
    (home.jar_folder / other.file_name).write_bytes(b"other")
    assert_repaired(check_jars(home), "ok", "Kafka 1.0, 2 files verified", "")


def test_readable_data_folder_is_a_failure(tmp_path: Path) -> None:
    """Tokens are only as safe as their secret."""
    data = DataDir(tmp_path / "data")
    data.create()
    data.secret()
    assert check_data(data).status == "ok"
    data.secret_file.chmod(0o644)
    assert_repaired(check_data(data), "fail", "others can read the secret", "chmod 600")
    data.root.chmod(0o755)
    assert_repaired(check_data(data), "warn", "is open to other accounts", "chmod 700")


def test_files_of_a_killed_run_are_reported(tmp_path: Path) -> None:
    """Nobody holds the lock."""
    data = DataDir(tmp_path)
    assert check_leftovers(data).status == "ok"
    data.write_run({"processes": []})
    assert_repaired(check_leftovers(data), "warn", "killed", "tasktape down")
    held = data.lock()
    assert held is not None
    assert check_leftovers(data).status == "ok"
    held.close()


def test_free_space_is_checked_before_the_folder_exists(tmp_path: Path) -> None:
    assert f"GB free for {tmp_path}/not/yet" in check_disk(DataDir(tmp_path / "not" / "yet")).detail


async def test_unreachable_stores_are_named() -> None:
    """By the URL or the variable."""
    assert_repaired(check_kafka("127.0.0.1:1,127.0.0.1:2"), "fail", "127.0.0.1:1", "KAFKA_BROKERS")
    refused = await check_database("postgresql+asyncpg://u:p@127.0.0.1:1/d")
    assert_repaired(refused, "fail", "", "DATABASE_URL")
    assert_repaired(await check_database("nonsense"), "fail", "", "DATABASE_URL")


def test_unreachable_api_process_is_named(tmp_path: Path) -> None:
    """Each by itself, since the common port would reach any of them."""
    processes = [
        {"name": "api-0", "status": "ready"},
        {"name": "api-1", "status": "restarting"},
        {"name": "worker-0", "status": "starting"},
    ]
    run = {"url": "http://127.0.0.1:1", "processes": processes}
    found = check_api(run, DataDir(tmp_path))
    assert_repaired(found, "fail", "127.0.0.1:1 is not ready; api-1 is restarting", "api*.log")
    assert "api-0" not in found.detail
    assert "worker" not in found.detail


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (mint(SECRET, "me", admin=False, ttl_s=-10), "it has expired"),
        (mint(SECRET, "me", admin=False, ttl_s=3600), "the API answers nothing"),
        ("nonsense", "it is not a JWT"),
    ],
)
def test_refused_token_has_a_reason(token: str, reason: str, tmp_path: Path) -> None:
    """Read from the token itself where possible."""
    options = Options(DataDir(tmp_path), LOOPBACK, 1, 1, {"TASKTAPE_TOKEN": token})
    assert_repaired(check_token("http://127.0.0.1:1", options), "fail", reason, "tasktape token")
