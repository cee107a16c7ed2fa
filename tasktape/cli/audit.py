"""The verbs `audit …`: questions to the log, and proofs that nobody changed it."""

from __future__ import annotations

import click

from tasktape.cli.lazy_verbs import LazyVerbs

VERBS: dict[str, tuple[str, str]] = {
    "query": ("tasktape.cli.audit_query:query", "Find events, count them, and follow new ones."),
    "sql": ("tasktape.cli.audit_sql:sql", "Query the views of the audit with SQL."),
}
"""See `LazyVerbs`: a verb is a command in a module of its own, and a line here."""


@click.group(
    cls=LazyVerbs,
    path="tasktape audit",
    verbs=VERBS,
    epilog="Example: tasktape audit query --list Errands --type task.deleted",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def audit() -> None:
    """Find what happened, by whom and when, and prove that nobody changed it."""
