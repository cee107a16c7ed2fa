"""The verbs `audit …`: questions to the log, and proofs that nobody changed it."""

from __future__ import annotations

import click

from tasktape.cli.lazy_verbs import LazyVerbs

VERBS: dict[str, tuple[str, str]] = {
    "query": ("tasktape.cli.audit_query:query", "Find events, count them, and follow new ones."),
    "sql": ("tasktape.cli.audit_sql:sql", "Query the views of the audit with SQL."),
    "head": ("tasktape.cli.audit_proofs:head", "Print a signed tree head."),
    "keys": ("tasktape.cli.audit_proofs:keys", "Print the public keys that verify tree heads."),
    "prove": ("tasktape.cli.audit_proofs:prove", "Prove that a record is in a tree head."),
    "consistency": ("tasktape.cli.audit_proofs:consistency", "Prove that the log was only appended to."),
    "verify": ("tasktape.cli.audit_verify:verify", "Compare log, audit, trees and tree heads."),
    "verifier": ("tasktape.cli.audit_proofs:verifier", "Print a program that verifies without Tasktape."),
    "rotate-key": ("tasktape.cli.audit_keys:rotate_key", "Add the next key that signs tree heads."),
    "export": ("tasktape.cli.audit_export:export", "Write events to a file: CSV, Parquet, XES and others."),
    "parquet": ("tasktape.cli.audit_parquet:parquet", "Keep a copy in Parquet files up to date."),
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
