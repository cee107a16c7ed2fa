"""The live generation of the read models, as one process knows it.

A rebuild makes another generation live while processes run. Each connection of a pool switches to it before
its next use (`PooledConnection.follow`): within a use, all statements see one generation.

A process learns of a swap in three ways. A projector cannot move the checkpoints of a generation that is no
longer live (`checkpoints.advance`), and looks for the live one. Each update names the generation that it was
committed to (`label`), so a node that knows a position also reads rows that include it. And every process
looks from time to time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projections.postgres.connections import Source

_LABEL = re.compile(r"(\d{1,9}):(\d{1,9}(?:,\d{1,9}){0,99})")


class LiveGeneration:
    """The generation that a pool's connections read and write: its schemas, newest first.

    The tables of a schema hide those of the same name in the next ones. `version` is that of the code: a
    process follows no generation of another version. With `follows=False` it stays at these numbers.
    """

    def __init__(
        self, control_schema: str, version: int, numbers: Sequence[int], *, follows: bool = True
    ) -> None:
        self._control_schema = control_schema
        self._version = version
        self._follows = follows
        self._become(numbers)

    def _become(self, numbers: Sequence[int]) -> None:
        self.number = numbers[0]
        """The newest number: it grows with each swap."""
        self.schemas = tuple(generation_schema(self._control_schema, number) for number in numbers)
        self.search_path = ", ".join(f'"{schema}"' for schema in self.schemas)
        self.label = f"{self._version}:{','.join(map(str, numbers))}"
        """The text that tells other processes about this generation."""

    def hear(self, label: str) -> None:
        """Follow the generation of a label, if it is a newer one of this version."""
        if label == self.label or not self._follows:
            return
        found = _LABEL.fullmatch(label)
        if found is not None and int(found[1]) == self._version:
            numbers = [int(number) for number in found[2].split(",")]
            if numbers[0] > self.number:
                self._become(numbers)

    async def look(self, source: Source) -> None:
        """Read from the control tables which generation is live, and follow it."""
        if self._follows and (numbers := await live_numbers(source, self._control_schema, self._version)):
            self._become(numbers)


async def live_numbers(source: Source, control_schema: str, version: int) -> Sequence[int]:
    """Return the numbers of the live generation of a version, newest first."""
    rows = await source.fetch(
        f'SELECT number FROM "{control_schema}".generations '  # noqa: S608
        "WHERE status = 'live' AND version = $1 ORDER BY number DESC",
        version,
    )
    return [row["number"] for row in rows]


def generation_schema(control_schema: str, number: int) -> str:
    """Return the name of one generation's schema."""
    return f"{control_schema}_g{number}"
