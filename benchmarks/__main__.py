"""The program that runs all benchmarks, or a named one with its own options."""

from __future__ import annotations

import sys
from importlib import import_module

QUESTIONS = (
    "projecting",
    "workers",
    "rebuilding",
    "importing",
    "bulk",
    "commands",
    "latency",
    "flushing",
    "structure",
    "statistics",
    "backups",
    "audit_sizes",
    "audit_queries",
    "exporting",
    "resources",
    "reminders",
    "finding",
    "time_travel",
    "relay",
    "replay",
)


def main(arguments: list[str]) -> None:
    if not arguments:
        for name in QUESTIONS:
            import_module(f"benchmarks.{name}").main([])
        return
    name, *others = arguments
    if name not in QUESTIONS:
        raise SystemExit(f"there is no benchmark {name}; there are {', '.join(QUESTIONS)}")
    import_module(f"benchmarks.{name}").main(others)


if __name__ == "__main__":
    main(sys.argv[1:])
