"""The tables of the relay benchmark: all servers side by side, and Tasktape against its targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.tables import table

CENTRIFUGO = "Centrifugo 6.9 (*)"
OURS = "Tasktape"
BARE_C = "bare C"
README = "broadcaster's README"
NOISY_CORES = 0.15
NOTE = """\
(*) not measured in this run.
Tasktape's messages come through Kafka, which its latency includes; nobody awaits one before the next. The
others' come over HTTP, each once the one before has been sent to all. Where several messages wait, as on a
busy machine, Tasktape joins them in one write, which costs less than what bare C does: a write for each."""
NEVER = {("back ms", README), ("back s", README)}
"""The mark of a figure that a server cannot have."""


@dataclass(slots=True)
class Figures:
    """The measurements of one server, by name: a value for each run."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, value: float) -> None:
        """Add a run's figure."""
        self.values.setdefault(what, []).append(value)

    def middle(self, what: str) -> float | None:
        """Return the median of the runs."""
        return median(self.values[what]) if what in self.values else None


CENTRIFUGO_RANGES: Mapping[str, tuple[float, float]] = {
    "cpu": (15.9, 17.2),
    "p50": (10.0, 11.0),
    "p99": (20.0, 24.0),
    "most": (93_000, 122_000),
    "connect": (3_600, 3_600),
    "KiB": (52.0, 52.0),
    "back ms": (7.0, 11.0),
    "back s": (0.85, 0.85),
}
"""Measured before, on another day, on this kind of machine: not in this run."""

LINES = (
    ("cpu", "server CPU s per million deliveries, 1,000 sockets x 20/s", ".1f"),
    ("p50", "p50 ms there", ".1f"),
    ("p99", "p99 ms there", ".1f"),
    ("joined", "messages a read of the client there", ".2f"),
    ("cpu at 200", "CPU s per million, 200 sockets x 50/s", ".1f"),
    ("cpu at 3000", "CPU s per million, 3,000 sockets x 10/s", ".1f"),
    ("most", "most deliveries/s at p99 <= 250 ms, 1,000 sockets", ",.0f"),
    ("most joined", "messages a read of the client there", ".2f"),
    ("connect", "connect + authenticate + subscribe per s", ",.0f"),
    ("connect cpu", "server CPU ms per connection", ".3f"),
    ("KiB", "KiB an idle connection", ".1f"),
    ("back ms", "1,000 missed messages back, ms", ".1f"),
    ("back s", "200 such clients at once, s", ".2f"),
    ("share", "share of missed messages that came", ".3f"),
    ("back ms log", "the same through log and worker, about 1 KB each, ms", ".1f"),
    ("back s log", "200 such clients at once, s", ".2f"),
    ("share log", "share of them that came", ".3f"),
    ("p99 alone", "p99 ms of 1,000 sockets x 20/s", ".1f"),
    ("p99 beside", "p99 ms beside ten that never read or flood", ".1f"),
    ("other cores", "cores used by others meanwhile", ".2f"),
)


def print_tables(figures: Mapping[str, Figures]) -> None:
    """Print the measurements of each server, and the targets that they decide."""
    names = list(figures)
    # Beside the servers that were measured: its place in the order is behind bare C.
    columns = [*names[:1], CENTRIFUGO, *names[1:]] if BARE_C in names[:1] else [CENTRIFUGO, *names]
    rows = [
        (title, *(_cell(figures, what, column, form) for column in columns))
        for what, title, form in LINES
        if any(what in each.values for each in figures.values())
    ]
    print("\n" + table(("", *columns), rows))
    print(f"\n{NOTE}")
    if any((each.middle("other cores") or 0.0) > NOISY_CORES for each in figures.values()):
        print("OTHERS USED THE MACHINE meanwhile: latencies and rates are worse than they would be alone.")
    lost = {name: sum(each.values.get("lost", ())) for name, each in figures.items()}
    print("lost deliveries at fixed rates: ", end="")
    print(", ".join(f"{name} {count:,.0f}" for name, count in lost.items()) + "\n")
    judged = list(_judged(figures))
    if judged:
        print(table(("target", OURS, "bound", "ratio", ""), judged))


def _cell(figures: Mapping[str, Figures], what: str, column: str, form: str) -> str:
    if column == CENTRIFUGO:
        low, high = CENTRIFUGO_RANGES.get(what, (None, None))
        if low is None or high is None:
            return "-"
        return f"{low:{form}}" if low == high else f"{low:{form}}-{high:{form}}"
    if (what, column) in NEVER:
        return "never"
    values = figures[column].values.get(what)
    if not values:
        return "-"
    spread = f" ({min(values):{form}}-{max(values):{form}})" if len(values) > 1 else ""
    return f"{median(values):{form}}{spread}"


# --- the targets ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for one of Tasktape's figures; `reference` is the figure that the bound is a multiple of."""

    title: str
    what: str
    factor: float
    reference: Callable[[Mapping[str, Figures]], float | None]
    form: str
    at_least: bool = False


def _one(_: Mapping[str, Figures]) -> float:
    return 1.0


def _centrifugo(what: str) -> Callable[[Mapping[str, Figures]], float | None]:
    return lambda _: sum(CENTRIFUGO_RANGES[what]) / 2


def _measured(name: str, what: str) -> Callable[[Mapping[str, Figures]], float | None]:
    return lambda figures: figures[name].middle(what) if name in figures else None


TARGETS: Sequence[Target] = (
    Target("CPU, 0.65 x Centrifugo's", "cpu", 0.65, _centrifugo("cpu"), ".1f"),
    Target("CPU, 1.6 x bare C's", "cpu", 1.6, _measured(BARE_C, "cpu"), ".1f"),
    Target("p99 ms, 0.7 x Centrifugo's", "p99", 0.7, _centrifugo("p99"), ".1f"),
    Target("most deliveries/s, 1.2 x Centrifugo's", "most", 1.2, _centrifugo("most"), ",.0f", at_least=True),
    Target("KiB an idle connection", "KiB", 30.0, _one, ".1f"),
    Target("connections on one process", "many", 5_000.0, _one, ",.0f", at_least=True),
    Target("connect + authenticate + subscribe per s", "connect", 2_000.0, _one, ",.0f", at_least=True),
    Target("1,000 missed messages back, ms", "back ms", 20.0, _one, ".1f"),
    Target("200 such clients at once, s", "back s", 0.8, _one, ".2f"),
    Target("share of missed messages that came", "share", 1.0, _one, ".3f", at_least=True),
    Target(
        "p99 ms beside hostile ones, 1.2 x that alone",
        "p99 beside",
        1.2,
        _measured(OURS, "p99 alone"),
        ".1f",
    ),
    Target(
        "CPU a delivery: 3,000 sockets, 1.2 x that at 1,000",
        "cpu at 3000",
        1.2,
        _measured(OURS, "cpu"),
        ".1f",
    ),
)
"""Costs grow with the sockets alone if a delivery costs the same with more of them."""


def _judged(figures: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    """Return a line for each target of which both sides are known: our figure relative to the bound."""
    for target in TARGETS:
        ours = figures[OURS].middle(target.what) if OURS in figures else None
        reference = target.reference(figures)
        if ours is None or reference is None:
            continue
        bound = target.factor * reference
        reached = ours >= bound if target.at_least else ours <= bound
        sign, verdict = (">=" if target.at_least else "<="), ("reached" if reached else "MISSED")
        shown, limit = f"{ours:{target.form}}", f"{sign} {bound:{target.form}}"
        yield target.title, shown, limit, f"{ours / bound:.2f}", verdict
