"""A benchmark of relaying an update to many sockets, beside bare C, Socket.IO and broadcaster's README.

One server at a time runs on a core of its own. The load client runs on the next core, with the Kafka, the
PostgreSQL and the publisher that Tasktape needs. Its latency includes the hop through Kafka, while the others
receive their messages over HTTP. Messages have 300 bytes, to which a server adds its own fields.
Centrifugo's figures are from an earlier measurement.

The programs are first built into the user's cache, which needs go, gcc, node and npm. Run it with
`python -m benchmarks relay` (a quarter of an hour); `--quick` takes shorter steps (six minutes).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field

from benchmarks import relay_builds, relay_peers, relay_wires
from benchmarks.machine import measured
from benchmarks.relay_hostile import hostile
from benchmarks.relay_load import Client, Cores, Row, Serving, two_cores, wait_for_quiet
from benchmarks.relay_peers import Server
from benchmarks.relay_tables import Figures, print_tables
from benchmarks.relay_tasktape import FROM_THE_LOG, tasktape

PEERS: Mapping[str, Callable[[], Server]] = {
    "rawlimit": relay_peers.rawlimit,
    "socketio": relay_peers.socketio,
    "naive": relay_peers.naive,
    "memory": relay_wires.in_memory,
    "picows": relay_wires.picows,
}
OURS = "tasktape"
USUAL = ("rawlimit", "socketio", "naive", OURS)
"""The servers that are measured unless told otherwise; `--only memory,picows` compares two protocols."""
RECOVERING = ("socketio", OURS)
QUIET_LIMIT_S = 8.0
MANY_SOCKETS = 5_000
MISSED = 1_000
LOADS = {(200, 50): "cpu at 200", (1_000, 20): "cpu", (3_000, 10): "cpu at 3000"}
"""Sockets, and messages a second → what the processor time per million deliveries there is called."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The lengths and repetitions of the steps."""

    fixed_runs: int = 3
    runs: int = 2
    fixed_s: float = 8.0
    warm_s: float = 2.0
    step_s: float = 4.0
    growth: float = 1.3
    bisections: int = 2
    ramp_limit_s: float = 50.0
    sockets: int = 3_000
    quiet_s: float = 90.0
    """The longest time to wait for a quiet machine, all waits together."""


QUICK = Plan(
    fixed_runs=1,
    runs=1,
    fixed_s=4.0,
    warm_s=1.0,
    step_s=2.0,
    growth=1.5,
    bisections=1,
    ramp_limit_s=24.0,
    quiet_s=20.0,
)


@dataclass(slots=True)
class Bench:
    """One run of the benchmark."""

    servers: Mapping[str, Server]
    client: Client
    cores: Cores
    plan: Plan
    quiet_s: float
    figures: Mapping[str, Figures] = field(default_factory=lambda: defaultdict(Figures))

    def load(
        self,
        name: str,
        mode: str,
        limit_s: float,
        *options: object,
        part: str | None = None,
        beside: Callable[[Serving], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> Row | None:
        """Return the last row of the client's run against a server that is started for it alone."""
        server = self.servers[name]
        with server.running(self.cores.server, part or mode) as serving, beside(serving):
            began_s = time.monotonic()
            wait_for_quiet(min(QUIET_LIMIT_S, self.quiet_s))
            self.quiet_s -= time.monotonic() - began_s
            rows = self.client.run(serving, mode, limit_s, *options)
        for row in rows:
            # A recovery is shorter than the resolution of processor times.
            if mode != "recover" and "other_cores" in row:
                self.figures[name].add("other cores", row["other_cores"])
        print(f"  {time.strftime('%H:%M:%S')} {server.name}: {part or mode} {_gist(rows)}", flush=True)
        return rows[-1] if rows else None


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks relay", description=__doc__)
    names = (*PEERS, OURS)
    parser.add_argument("--only", default=",".join(USUAL), help="Servers, separated by commas.")
    parser.add_argument("--parts", default=",".join(PARTS), help="Parts, separated by commas.")
    parser.add_argument("--features", default="", help="What Tasktape's clients ask for, such as batch.")
    parser.add_argument("--quick", action="store_true", help="Shorter steps, each once.")
    options = parser.parse_args(arguments)
    chosen, parts = _chosen(parser, options.only, names), _chosen(parser, options.parts, PARTS)
    features = [feature for feature in options.features.split(",") if feature]
    began_s = time.monotonic()
    client = Client(relay_builds.client())
    servers: dict[str, Server] = {name: PEERS[name]() for name in chosen if name in PEERS}
    with measured("Relaying to many sockets"), ExitStack() as stack:
        cores = stack.enter_context(two_cores())
        if OURS in chosen:
            servers[OURS] = stack.enter_context(tasktape(features))
        plan = QUICK if options.quick else Plan()
        bench = Bench(servers, client, cores, plan, plan.quiet_s)
        for part in parts:
            PARTS[part](bench)
        print_tables({servers[name].name: figures for name, figures in bench.figures.items()})
        print(f"\ntook {(time.monotonic() - began_s) / 60:.0f} minutes")


def _chosen(
    parser: argparse.ArgumentParser, text: str, known: Sequence[str] | Mapping[str, object]
) -> list[str]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            parser.error(f"there is no {name}; there are {', '.join(known)}")
    return chosen


# --- the parts --------------------------------------------------------------------------------------------


def _fixed(bench: Bench) -> None:
    """Measure processor time and latency at the same rates for all, with fewer and more sockets."""
    plan = bench.plan
    for (sockets, rate), name in _runs(bench, LOADS):
        options = ("-n", sockets, "-rate", rate, "-dur", f"{plan.fixed_s}s", "-warm", f"{plan.warm_s}s")
        row = bench.load(name, "fixed", 45.0, *options)
        if row is None:
            continue
        figures, what = bench.figures[name], LOADS[sockets, rate]
        figures.add(what, row["srv_cpu_s_per_M"])
        figures.add("lost", row["lost"])
        if what == "cpu":
            figures.add("p50", row["p50_ms"])
            figures.add("p99", row["p99_ms"])
            figures.add("joined", row["deliv_per_read"])


def _runs(bench: Bench, loads: Mapping[tuple[int, int], str]) -> Iterator[tuple[tuple[int, int], str]]:
    """Return each server in turn, so that disturbances affect all; the main load several times."""
    for load, what in loads.items():
        for _ in range(bench.plan.fixed_runs if what == "cpu" else 1):
            for name in bench.servers:
                yield load, name


def _ramp(bench: Bench) -> None:
    """Measure the highest delivery rate within 250 ms."""
    plan, sockets = bench.plan, 1_000
    for name, server in bench.servers.items():
        first = ("-n", sockets, "-rate", server.first_deliveries_per_s / sockets, "-drain", "3s")
        steps = ("-dur", f"{plan.step_s}s", "-grow", plan.growth, "-bisect", plan.bisections)
        row = bench.load(name, "ramp", plan.ramp_limit_s, *first, *steps)
        if row is not None and row.get("summary"):
            bench.figures[name].add("most", row["max_deliv_per_s"])
            bench.figures[name].add("most joined", row["deliv_per_read"])


def _connect(bench: Bench) -> None:
    """Measure the rate of connections, and the cost of an idle one."""
    for _ in range(bench.plan.runs):
        for name in bench.servers:
            row = bench.load(name, "connect", 40.0, "-n", bench.plan.sockets)
            if row is not None:
                bench.figures[name].add("connect", row["conn_per_s"])
                bench.figures[name].add("connect cpu", row["srv_cpu_ms_per_conn"])
                bench.figures[name].add("KiB", row["rss_kib_per_conn"])
    if OURS in bench.servers:
        row = bench.load(OURS, "connect", 40.0, "-n", MANY_SOCKETS)
        if row is not None:
            bench.figures[OURS].add("many", MANY_SOCKETS - row["failed"])


def _hostile(bench: Bench) -> None:
    """Measure the effect of ten slow or hostile clients on a thousand others, alone and together in turn."""
    if OURS not in bench.servers:
        return
    plan = bench.plan
    options = ("-n", 1_000, "-rate", 20, "-dur", f"{plan.fixed_s}s", "-warm", f"{plan.warm_s}s")
    for _ in range(plan.fixed_runs):
        for what, beside in (("p99 alone", None), ("p99 beside", hostile)):
            around = {} if beside is None else {"beside": beside}
            row = bench.load(OURS, "fixed", 45.0, *options, part="fixed", **around)
            if row is not None:
                bench.figures[OURS].add(what, row["p99_ms"])


def _recover(bench: Bench) -> None:
    """Measure the recovery of missed messages, for one client and for many at once."""
    for clients, what in ((1, "back ms"), (200, "back s")):
        for _ in range(bench.plan.runs):
            for name in RECOVERING:
                if name in bench.servers:
                    _come_back(bench, name, clients, what)
        if OURS in bench.servers:
            _come_back(bench, OURS, clients, f"{what} log", part=FROM_THE_LOG)


def _come_back(bench: Bench, name: str, clients: int, what: str, *, part: str | None = None) -> None:
    row = bench.load(name, "recover", 30.0, "-n", clients, "-missed", MISSED, part=part)
    if row is None:
        return
    figures = bench.figures[name]
    figures.add("share log" if part else "share", row["msgs_recovered"] / (clients * MISSED))
    if row["clients_full"] == clients:
        figures.add(what, row["max_ms"] if clients == 1 else row["wall_s"])


PARTS: Mapping[str, Callable[[Bench], None]] = {
    "fixed": _fixed,
    "ramp": _ramp,
    "connect": _connect,
    "recover": _recover,
    "hostile": _hostile,
}


GIST = (
    *("n", "rate", "srv_cpu_s_per_M", "p50_ms", "p99_ms", "lost", "max_deliv_per_s"),
    *(
        "deliv_per_read",
        "conn_per_s",
        "srv_cpu_ms_per_conn",
        "rss_kib_per_conn",
        "failed",
        "clients_full",
        "msgs_recovered",
        "max_ms",
        "wall_s",
    ),
    *("srv_cores", "cli_cores", "beside_cores", "other_cores"),
)
"""The figures of a row that tell the most."""


def _gist(rows: Sequence[Row]) -> str:
    """Return the content of a run's last row."""
    last = rows[-1] if rows else {}
    told = [f"{name} {last[name]:g}" for name in GIST if name in last]
    return ", ".join([*told, *last.get("errors", ())]) or "failed"
