"""Kafka's jars: the lock file, verification, and their folder."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasktape.cli.progress import Progress
from tasktape.local.errors import LocalError
from tasktape.local.jars import Jar, damaged, fetch, is_complete, lock_digest, read_lock
from tasktape.local.kafka_home import KafkaHome, escape, install, is_installed, new_id


def jar(content: bytes, name: str = "thing") -> Jar:
    return Jar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())


def test_lock_file_has_the_broker_and_checksums() -> None:
    """And no host."""
    jars = read_lock()
    assert {"kafka_2.13", "kafka-clients", "slf4j-simple"} <= {one.artifact for one in jars}
    assert all(re.fullmatch(r"[0-9a-f]{64}", one.sha256) and one.size_bytes > 0 for one in jars)
    assert len({one.file_name for one in jars}) == len(jars)


def test_digest_changes_with_any_jar() -> None:
    """Another set of jars has another folder."""
    assert lock_digest((jar(b"a"), jar(b"b"))) != lock_digest((jar(b"a"), jar(b"c")))


def test_damage_is_found(tmp_path: Path) -> None:
    """A jar of the right size with other bytes, and a missing one."""
    good, bad, missing = jar(b"good", "good"), jar(b"bad", "bad"), jar(b"missing", "missing")
    (tmp_path / good.file_name).write_bytes(b"good")
    (tmp_path / bad.file_name).write_bytes(b"BAD")
    assert damaged(tmp_path, (good, bad, missing)) == [bad.file_name, missing.file_name]
    assert is_complete(tmp_path, (good, bad))
    assert not is_complete(tmp_path, (good, missing))


def test_existing_jars_are_not_fetched_again(tmp_path: Path) -> None:
    """An interrupted download continues."""
    good = jar(b"good", "good")
    (tmp_path / good.file_name).write_bytes(b"good")
    seen: list[tuple[int, int]] = []
    fetch(tmp_path, (good,), lambda done, total: seen.append((done, total)))
    assert seen == [(4, 4)]


def test_path_is_escaped_as_a_java_property() -> None:
    """Java reads properties as Latin-1 in units of UTF-16 and splits lists at commas."""
    assert escape(Path("/a b/c")) == "/a b/c"
    assert escape(Path("/ü/\\x")) == "/\\u00fc/\\\\x"
    assert escape(Path("/🙂")) == "/\\ud83d\\ude42"
    with pytest.raises(LocalError, match="comma"):
        escape(Path("/a,b"))


def test_ids_are_valid_for_kafka() -> None:
    """Twenty-two characters that do not look like an option."""
    ids = {new_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", one) for one in ids)


def test_concurrent_starts_install_once(tmp_path: Path) -> None:
    """The second waits for the first; files of a killed one are removed."""
    thing = jar(b"good", "kafka_2.13")
    home = KafkaHome(tmp_path / "home", (thing,), Path("java"), "25")
    home.jar_folder.mkdir(parents=True)
    home.formatted.mkdir()
    (home.folder / ".work-stale").mkdir()
    (home.jar_folder / thing.file_name).write_bytes(b"good")
    trained: list[Path] = []

    def train(_home: KafkaHome, work: Path, cache: Path) -> None:
        trained.append(work)
        (work / "trace").touch()
        cache.write_bytes(b"classes")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: install(home, lambda *_: None, train), range(4)))
    assert len(trained) == 1
    assert home.class_cache.read_bytes() == b"classes"
    assert list(home.folder.glob(".work*")) == []
    assert is_installed(home)


def test_failing_cds_archive_is_tried_once(tmp_path: Path) -> None:
    """Starts are slower then, and the attempt is not repeated."""
    home = KafkaHome(tmp_path, (), Path("java"), "25")
    home.formatted.mkdir()
    tries: list[Path] = []
    for _ in range(2):
        install(home, lambda *_: None, lambda *found: tries.append(found[2]))
    assert len(tries) == 1
    assert home.class_cache.stat().st_size == 0


def test_progress_without_a_terminal_is_a_line_per_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    """None if there is nothing to fetch."""
    with Progress() as progress:
        for done in range(0, 101, 5):
            progress(done * 2**20, 100 * 2**20)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        *(f"Fetching Kafka, once: {percent} % of 100 MB" for percent in (0, 25, 50, 75, 100)),
        "Preparing Kafka, once …",
    ]
