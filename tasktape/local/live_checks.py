"""Checks of running processes for `tasktape doctor`: the stores, the API, the worker, tokens and clocks."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import jwt

from tasktape.local.causes import REPAIR, find_causes
from tasktape.local.data_dir import DataDir
from tasktape.local.findings import Finding
from tasktape.local.parked import dead_letters_finding, read_dead_letters
from tasktape.local.ports import is_listening
from tasktape.local.signing import read_signing, signing_finding
from tasktape.local.stack import PROBE_LIMIT_S, READINESS_LIMIT_S, Options, ask, signing_secret, signs_tokens
from tasktape.local.tokens import mint

LAG_SAMPLE_S = 1.0
CLOCK_LIMIT_S = 5.0


def check_live(options: Options) -> list[Finding]:
    """Check the processes on the data folder; if none runs, the stores that the environment names."""
    run = options.data.read_run() if options.data.is_locked() else {}
    brokers = options.env.get("KAFKA_BROKERS") or run.get("kafka", {}).get("brokers")
    database = options.env.get("DATABASE_URL") or run.get("database", {}).get("url")
    findings = [check_kafka(brokers)] if brokers else []
    if database:
        findings.append(asyncio.run(check_database(database)))
    if not run:
        return [*findings, check_last_run(options.data)]
    # The lag of the read models is a finding of its own.
    _, answer = ask(f"{run['url']}/readyz?lag=any", limit_s=READINESS_LIMIT_S)
    causes = [cause for cause in find_causes(run, options.data, answer) if cause.name != "disk"]
    findings = [each for each in findings if each.name not in {cause.name for cause in causes}] + causes
    ready = check_api(run, options.data)
    findings.append(ready)
    if ready.status == "ok":
        findings += [check_progress(run["url"]), check_token(run["url"], options)]
    if database and (schema := run.get("database", {}).get("schema")):
        findings += dead_letters_finding(asyncio.run(read_dead_letters(database, schema)))
        findings += signing_finding(asyncio.run(read_signing(database, schema)))
    return findings


def check_last_run(data: DataDir) -> Finding:
    """Check how the last run on an idle folder ended."""
    reason = data.read_failure()
    if reason is None:
        return Finding("instance", "warn", "nothing runs on this data folder", "tasktape up")
    mend = REPAIR if REPAIR in reason else "fix that, then `tasktape up`"
    return Finding("instance", "fail", f"the last `tasktape up` ended: {reason}", mend)


def check_kafka(brokers: str) -> Finding:
    """Check that a broker accepts connections."""
    places = [part.strip().rpartition(":") for part in brokers.split(",") if part.strip()]
    reached = [
        host for host, _, port in places if port.isdigit() and is_listening(host.strip("[]"), int(port))
    ]
    if reached:
        return Finding("kafka", "ok", f"{brokers} answers")
    return Finding(
        "kafka", "fail", f"{brokers} does not answer", "see kafka.log in the logs folder, or KAFKA_BROKERS"
    )


async def check_database(url: str) -> Finding:
    """Check that the database accepts the login, and that its clock agrees."""
    plain = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    try:
        connection = await asyncpg.connect(plain, timeout=PROBE_LIMIT_S)
        try:
            theirs: datetime = await connection.fetchval("select clock_timestamp()")
        finally:
            await connection.close()
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Finding("database", "fail", reason, "see postgres.log in the logs folder, or DATABASE_URL")
    apart_s = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart_s > CLOCK_LIMIT_S:
        return Finding(
            "database", "warn", f"its clock is {apart_s:.0f} s from ours", "synchronise the clocks"
        )
    return Finding("database", "ok", "answers, clocks agree")


def check_api(run: Mapping[str, Any], data: DataDir) -> Finding:
    """Check that the API and each of its processes are ready."""
    processes = {each["name"]: each["status"] for each in run["processes"] if _is_api(each["name"])}
    away = [f"{name} is {status}" for name, status in processes.items() if status != "ready"]
    if ask(f"{run['url']}/readyz?lag=any")[0] != 200:
        away.insert(0, f"{run['url']} is not ready")
    if away:
        mend = f"see {data.logs}/api*.log and `tasktape status`"
        return Finding("api", "fail", "; ".join(away), mend)
    several = f", all {len(processes)} processes" if len(processes) > 1 else ""
    return Finding("api", "ok", f"{run['url']} is ready{several}")


def _is_api(name: str) -> bool:
    return name == "api" or name.startswith("api-")


def check_progress(url: str) -> Finding:
    """Check that the read models keep up with the log, and that workers run."""
    before = _lag(url)
    if before == 0:
        problem = _problem(url)
        if problem is None:
            return Finding("worker", "ok", "has read the whole log")
        return Finding("worker", "fail", problem, "see the worker's log")
    time.sleep(LAG_SAMPLE_S)
    after = _lag(url)
    if before is None or after is None:
        return Finding("worker", "warn", "the API does not tell its lag", "see the worker's log")
    if after < before or after == 0:
        return Finding("worker", "ok", f"{after} events behind and catching up")
    return Finding("worker", "warn", f"{after} events behind and not catching up", "see the worker's log")


def check_token(url: str, options: Options) -> Finding:
    """Check that the API accepts the given token, or a new one."""
    token = options.env.get("TASKTAPE_TOKEN")
    whose = "TASKTAPE_TOKEN"
    if not token:
        if not signs_tokens(options.env):
            return Finding("token", "ok", "signed elsewhere, none in TASKTAPE_TOKEN to try")
        whose, token = "a fresh token", _fresh(options)
    # A route for administrators: every other route creates an inbox for the user.
    status, _ = ask(f"{url}/api/dead-letters?limit=1", {"Authorization": f"Bearer {token}"})
    if status in (200, 403):
        return Finding("token", "ok", f"{whose} is let in")
    reason = _expiry(token) or f"the API answers {status or 'nothing'}"
    return Finding(
        "token", "fail", f"{whose} is refused: {reason}", "make one with `tasktape token --user NAME`"
    )


def _fresh(options: Options) -> str:
    issuer, audience = _names(options.env)
    secret = signing_secret(options)
    return mint(secret, "doctor", admin=True, ttl_s=60, issuer=issuer, audience=audience)


def _names(env: Mapping[str, str]) -> tuple[str, str]:
    return env.get("JWT_ISSUER") or "tasktape", env.get("JWT_AUDIENCE") or "tasktape"


def _expiry(token: str) -> str | None:
    try:
        jwt.decode(token, options={"verify_signature": False, "verify_exp": True, "verify_aud": False})
    except jwt.ExpiredSignatureError:
        return "it has expired"
    except jwt.ImmatureSignatureError:
        return "it is not valid yet, a clock is wrong"
    except jwt.PyJWTError:
        return "it is not a JWT"
    return None


def _problem(url: str) -> str | None:
    """Return the first reason why new writes would not be visible at once."""
    with contextlib.suppress(ValueError):
        answer = json.loads(ask(f"{url}/readyz")[1] or b"null")
        problems = answer.get("problems") if isinstance(answer, dict) else None
        return str(problems[0]) if problems else None
    return None


def _lag(url: str) -> int | None:
    try:
        answer = json.loads(ask(f"{url}/readyz?lag=any")[1] or b"null")
    except ValueError:
        return None
    lag = answer.get("lag") if isinstance(answer, dict) else None
    return lag if isinstance(lag, int) else None
