"""The output of `up` and `status` for people."""

from collections.abc import Mapping
from typing import Any

from tasktape.cli.program import typed
from tasktape.local.parked import held_in_words
from tasktape.local.stack import Options, Stack, signing_secret, signs_tokens
from tasktape.local.tokens import mint, system_user

SIGN_IN_S = 30 * 24 * 3600


def welcome(options: Options, *, detached: bool) -> str:
    """Return the output of `up` when all processes are ready."""
    url, data = Stack(options).url, options.data.root
    lines = ["", f"  Tasktape is ready:  {url}"]
    if signs_tokens(options.env):
        lines.append(f"  Sign in:            {url}/#token={_sign_in_token(options)}")
    lines += [
        "",
        "  Three things to try:",
        "    · open the sign-in link in two browsers, add a task in one and watch it appear in the other",
        f"    · {typed('add milk', data)} && {typed('list', data)}",
        f"    · {typed('watch', data)}",
        "",
        f"  Stop it with: {typed('down', data)}" if detached else "  Stop it with Ctrl-C.",
        f"  The data are in {data}",
    ]
    return "\n".join(lines)


def _sign_in_token(options: Options) -> str:
    return mint(
        signing_secret(options),
        system_user(),
        admin=True,
        ttl_s=SIGN_IN_S,
        issuer=options.env.get("JWT_ISSUER") or "tasktape",
        audience=options.env.get("JWT_AUDIENCE") or "tasktape",
    )


def status_text(found: Mapping[str, Any]) -> str:
    """Return the output of `status`."""
    if not found["processes"]:
        return f"Not running on {found['data']}"
    lag = "unknown" if found["lag"] is None else f"{found['lag']} events"
    lines = [f"{'Ready' if found['ready'] else 'Not ready'}: {found['url']}", f"Lag: {lag}", ""]
    lines.append(
        f"{'process':<12}{'pid':>8}  {'status':<11}{'up':>9}{'memory':>10}{'cpu':>10}{'restarts':>10}"
    )
    lines += [_process_line(process) for process in found["processes"]]
    lines += _dead_letter_lines(found["dead_letters"])
    lines += [f"✗ {each['name']}: {each['detail']}\n    → {each['mend']}" for each in found["problems"]]
    sizes = found["sizes"]
    lines += [
        "",
        f"Kafka     {found['kafka']['brokers']}{_size(found['kafka'], sizes['kafka_bytes'])}",
        f"Database  {found['database']['url']}{_size(found['database'], sizes['postgres_bytes'])}",
        f"Data      {found['data']}",
    ]
    return "\n".join(lines)


def _dead_letter_lines(letters: Mapping[str, Any] | None) -> list[str]:
    if not letters or not letters["records"]:
        return []
    lines = [f"! dead letters: {letters['records']} parked, {held_in_words(letters['streams'])}"]
    lines += [
        f"    {held['stream']} waits for {held['position']}: {held['reason']}" for held in letters["held"]
    ]
    return [*lines, "    → tasktape dead-letters list"]


def _process_line(process: Mapping[str, Any]) -> str:
    if process["pid"] is None:
        return f"{process['name']:<12}{'':>8}  {process['status']:<11}{'':>29}{process['restarts']:>10}"
    return (
        f"{process['name']:<12}{process['pid']:>8}  {process['status']:<11}{process['uptime_s']:>7.0f} s"
        f"{process['rss_bytes'] / 2**20:>7.0f} MB{process['cpu_s']:>8.1f} s{process['restarts']:>10}"
    )


def _size(part: Mapping[str, Any], size_bytes: int) -> str:
    return f"  ({size_bytes / 2**20:.1f} MB)" if part["embedded"] else ""
