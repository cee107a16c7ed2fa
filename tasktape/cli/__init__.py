"""The command line: `tasktape VERB …`. It imports the module of a verb only when needed: help is fast."""

import sys
from typing import Any

import click

from tasktape.cli.failures import INTERRUPTED_STATUS, say_failure
from tasktape.cli.lazy_verbs import LazyVerbs
from tasktape.cli.streams import UNWRITTEN_STATUS, OutputFailed, discard_output, open_streams

VERBS: dict[str, tuple[str, str]] = {
    "up": ("tasktape.cli.local:up", "Start everything on this machine."),
    "down": ("tasktape.cli.local:down", "Stop what `up` started."),
    "status": ("tasktape.cli.local:status", "Show what runs, its lag and its sizes."),
    "doctor": ("tasktape.cli.doctor:doctor", "Check everything and say how to fix it."),
    "api": ("tasktape.cli.run:api", "Answer HTTP and WebSockets."),
    "worker": ("tasktape.cli.worker:worker", "Run one projecting worker."),
    "migrate": ("tasktape.cli.worker:migrate", "Create topics and tables, or bring them up to date."),
    "rebuild": ("tasktape.cli.rebuild:rebuild", "Rebuild read models from the log, while all runs."),
    "add": ("tasktape.cli.tasks:add", "Add a task."),
    "list": ("tasktape.cli.tasks:list_tasks", "List tasks."),
    "search": ("tasktape.cli.search:search", "Find tasks by words and conditions."),
    "done": ("tasktape.cli.tasks:done", "Complete tasks, or reopen them."),
    "edit": ("tasktape.cli.tasks:edit", "Change a task."),
    "rm": ("tasktape.cli.tasks:rm", "Delete tasks, or restore them."),
    "show": ("tasktape.cli.tasks:show", "Show a task, now or then, and its history."),
    "bulk": ("tasktape.cli.bulk:bulk", "Execute many commands from a file."),
    "move": ("tasktape.cli.moves:move", "Move a task to another list, place or stage."),
    "skip": ("tasktape.cli.moves:skip", "Skip an occurrence of a recurring task."),
    "undo": ("tasktape.cli.moves:undo", "Undo one of your own changes."),
    "revert": ("tasktape.cli.list_past:revert", "Return a list's tasks to how they were."),
    "copy": ("tasktape.cli.list_past:copy", "Copy a list as it was."),
    "comment": ("tasktape.cli.comments:comment", "Comment on a task."),
    "comments": ("tasktape.cli.comments:comments", "List the comments of a task."),
    "lists": ("tasktape.cli.lists:lists", "Show, create, rename and delete lists."),
    "diff": ("tasktape.cli.diffs:diff", "Show what differs in a list between two times."),
    "share": ("tasktape.cli.members:share", "Add a member to a list."),
    "unshare": ("tasktape.cli.members:unshare", "Remove a member from a list."),
    "members": ("tasktape.cli.members:members", "List the members of a list."),
    "leave": ("tasktape.cli.members:leave", "Leave a list."),
    "hand-over": ("tasktape.cli.members:hand_over", "Make another member the owner of a list."),
    "notifications": ("tasktape.cli.notifications:notifications", "List your notifications."),
    "activity": ("tasktape.cli.activity:activity", "List the activity in your lists, grouped."),
    "stats": ("tasktape.cli.statistics:stats", "Show statistics of lists, with charts and a forecast."),
    "watch": ("tasktape.cli.watch:watch", "Print changes live."),
    "replay": ("tasktape.cli.replay:replay", "Play the past of a list."),
    "dead-letters": (
        "tasktape.cli.dead_letters:dead_letters",
        "List, retry and skip records that cannot be folded.",
    ),
    "import": ("tasktape.cli.imports:import_file", "Import tasks with their histories from a file."),
    "backup": ("tasktape.cli.backups:backup", "Write the log to a file, or check such a file."),
    "restore": ("tasktape.cli.backups:restore", "Restore the log from backups, into an empty instance."),
    "audit": ("tasktape.cli.audit:audit", "Find what happened, by whom and when, and prove it."),
    "token": ("tasktape.cli.token:token", "Print a sign-in token for the API."),
    "completion": (
        "tasktape.cli.completion:completion",
        "Print a completion script for a shell.",
    ),
}


class Program(LazyVerbs):
    """The verbs of the program, which end the process."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a verb on the standard streams, and end the process with its exit status."""
        if sys.stdout is sys.__stdout__:  # a test has streams of its own
            open_streams()
        try:
            try:
                status = self._status(*args, **extra)
            finally:
                sys.stdout.flush()
        except OutputFailed as failed:
            discard_output()
            status = _unwritten(failed)
        except KeyboardInterrupt:
            status = INTERRUPTED_STATUS
        sys.exit(status)

    def _status(self, *args: Any, **extra: Any) -> int:
        """Run a verb; return its exit status. Failures are one line."""
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            return say_failure(error)
        except click.Abort as abort:
            if isinstance(abort.__cause__, KeyboardInterrupt):
                return INTERRUPTED_STATUS
            click.echo("Error: there is no answer to the question", err=True)  # the end of the input
            return 1
        return status if isinstance(status, int) else 0


def _unwritten(failed: OutputFailed) -> int:
    """Report that the output could not be written; return the exit status."""
    if failed.reader_gone:
        return 0
    done = "It is done, but its output" if failed.is_done else "The output"
    click.echo(f"Error: {done} cannot be written: {failed}", err=True)
    return UNWRITTEN_STATUS if failed.is_done else 1


@click.group(
    cls=Program, path="tasktape", verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="tasktape", message="%(prog)s %(version)s")
def main() -> None:
    """Tasktape: tasks on a log that you can watch, replay and audit.

    Example: tasktape up
    """
