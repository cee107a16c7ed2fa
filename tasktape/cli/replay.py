"""The verb `replay`: the past of a list, in the terminal, as lines, or into another topic."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tasktape.cli.client import api_verb, the_list
from tasktape.cli.lines import event_line, moment, printable
from tasktape.cli.options import bad_settings, json_option, local_errors, process_environment
from tasktape.cli.zone import local_zone, with_offset

if TYPE_CHECKING:
    from app.settings import Settings
    from tasktape.cli.board import Board
    from tasktape_client import Client, Update
    from tasktape_client.replays import Item, Replay

FULL_SPEED = 1e9
REFRESH_S = 0.1


class Speed(click.ParamType):
    """A speed, such as `1000x` or `0.5`, or `max` for no pauses."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the factor; infinity for `max`."""
        text = str(value)
        if text == "max":
            return float("inf")
        try:
            speed = float(text.removesuffix("x"))
        except ValueError:
            speed = 0.0
        if not 0 < speed <= FULL_SPEED:
            self.fail(
                f"{text!r} is not a speed: 1000x, 0.5x and max are, up to {FULL_SPEED:.0e}x", param, ctx
            )
        return speed


@click.command(epilog="Example: tasktape replay --list Household --speed 1000x")
@click.option("--list", "list_name", required=True, metavar="LIST", help="The list, by name or id.")
@click.option("--from", "first", metavar="TIME", help="Begin with the list as it was then.")
@click.option("--to", "last", metavar="TIME", help="End then.")
@click.option("--speed", type=Speed(), default="1x", show_default=True, help="Such as 1000x, or max.")
@click.option(
    "--max-gap",
    type=click.FloatRange(0, 3_600),
    metavar="SECONDS",
    help="Shorten longer pauses.  [default: 2]",
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type; repeatable.")
@click.option("--to-topic", "topic", metavar="TOPIC", help="Copy the records into another topic of Kafka.")
@json_option
@api_verb
async def replay(client: Client, *, list_name: str, topic: str | None, as_json: bool, **options: Any) -> None:
    """Play the past of a list: how it was, then its events with the pauses between them.

    On a terminal it is a board that moves, elsewhere a line for each event. With --to-topic the records are
    copied with their keys, values and headers, in the order of the replay; the topic is created if missing.
    """
    list_id = await the_list(client, list_name)
    played = client.replay(list_id, **_part_and_pace(**options))
    if topic is not None:
        await _copy(played, topic, as_json=as_json)
    elif as_json:
        async for item in played:
            click.echo(json.dumps(item.as_sent()))
    elif sys.stdout.isatty():
        await _show_board(client, played, list_id)
    else:
        await _print_lines(played)


def _part_and_pace(
    first: str | None, last: str | None, speed: float, max_gap: float | None, types: tuple[str, ...]
) -> dict[str, Any]:
    """Return the options of the client's replay."""
    zone, is_max = local_zone(), speed > FULL_SPEED
    return {
        "start": None if first is None else with_offset(first, zone),
        "end": None if last is None else with_offset(last, zone),
        "speed": FULL_SPEED if is_max else speed,
        "types": types or None,
        "max_gap_ms": 0 if is_max else None if max_gap is None else round(max_gap * 1000),
    }


async def _print_lines(played: Replay) -> None:
    from tasktape_client import Update

    tasks = 0
    async for item in played:
        if isinstance(item, Update):
            click.echo(f"{event_line(item.event, item.changes)}  [{printable(_name_of(item))}]")
        elif item.state == "snapshot":
            tasks += len(item.tasks or ())
            if not item.more:
                click.echo(f"{moment(item.at)}  {tasks} {'task' if tasks == 1 else 'tasks'}")
                tasks = 0
        elif item.state == "ended":
            click.echo(f"{moment(item.at)}  the end")


def _name_of(update: Update) -> str:
    """Return the title of an update's task, or the name of its list."""
    if update.task is not None:
        return update.task.title
    return str(update.event.stream if update.list is None else update.list.name)


# --- the board -------------------------------------------------------------------------------------------


async def _show_board(client: Client, played: Replay, list_id: str) -> None:
    """Show the board while it changes; at the end the last one stays."""
    from rich.console import Console
    from rich.live import Live

    from tasktape.cli.board import Board

    board, console = Board(list_id), Console()
    board.show_list(await client.list(list_id))
    with Live(console=console, auto_refresh=False, transient=False) as live:

        def refresh() -> None:
            live.update(board.render(console.width, console.height), refresh=True)

        async def keep_fresh() -> None:
            while True:
                await asyncio.sleep(REFRESH_S)
                refresh()

        refreshing = asyncio.create_task(keep_fresh())
        try:
            async for item in played:
                apply(board, item)
        finally:
            refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await refreshing
            refresh()


def apply(board: Board, item: Item) -> None:
    """Apply an item of a replay to a board."""
    from app.stream_ids import StreamId
    from tasktape_client import Update

    board.at = item.at
    if isinstance(item, Update):
        board.events += 1
        stream = StreamId(item.event.stream or "")
        if stream.kind == "task":
            board.put(stream.key, item.task)
        elif item.list is not None:
            board.show_list(item.list)
    elif item.state == "snapshot":
        if item.part == 0:
            board.clear()
        if item.list is not None:
            board.show_list(item.list)
        for task in item.tasks or ():
            board.put(task.id, task)


# --- another topic ---------------------------------------------------------------------------------------


async def _copy(played: Replay, topic: str, *, as_json: bool) -> None:
    """Copy the records of a replay to a topic. Raise `click.ClickException`."""
    from app.errors import TaskError
    from app.positions import Position
    from streams.topic_copy import open_topic_copy
    from tasktape_client import Update

    copied = 0
    try:
        async with open_topic_copy(_log_settings(), topic) as copy:
            async for item in played:
                if isinstance(item, Update):
                    await copy.write(Position.parse(item.position), item.event.id)
                    copied += 1
    except TaskError as error:
        raise click.ClickException(error.detail) from None
    if as_json:
        click.echo(json.dumps({"topic": topic, "records": copied}))
    else:
        click.echo(f"Copied {copied:,} {'record' if copied == 1 else 'records'} to {topic}")


@local_errors
def _log_settings() -> Settings:
    """Return the settings for the log: those of the environment, else of the running local instance."""
    from app.settings import BadSettings, Settings
    from tasktape.local.data_dir import data_dir
    from tasktape.local.stores import running_settings

    environment = process_environment()
    if environment.get("KAFKA_BROKERS"):
        try:
            return Settings.from_environment(environment)
        except BadSettings as error:
            raise bad_settings(error) from None
    data: Path | None = click.get_current_context().params.get("data")
    settings = running_settings(data_dir(data), environment)
    if settings is None:
        raise click.ClickException(
            "--to-topic reads Kafka: set KAFKA_BROKERS, or name the folder of a running instance"
        )
    return settings
