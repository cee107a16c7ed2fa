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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projections.postgres.connections import Source

_LABEL = re.compile(r"(\d{1,9}):(\d{1,9})")


class LiveGeneration:
    """The generation that a pool's connections read and write.

    `version` is that of the code: a process follows no generation of another version. With `follows=False` it
    stays at this number.
    """

    def __init__(self, control_schema: str, version: int, number: int, *, follows: bool = True) -> None:
        self._control_schema = control_schema
        self._version = version
        self._follows = follows
        self._become(number)

    def _become(self, number: int) -> None:
        self.number = number
        """The number of the generation: it grows with each swap."""
        self.schema = generation_schema(self._control_schema, number)
        """The schema of its tables."""
        self.label = f"{self._version}:{number}"
        """The text that tells other processes about this generation."""

    def hear(self, label: str) -> None:
        """Follow the generation of a label, if it is a newer one of this version."""
        if label == self.label or not self._follows:
            return
        found = _LABEL.fullmatch(label)
        if found is not None and int(found[1]) == self._version and int(found[2]) > self.number:
            self._become(int(found[2]))

    async def look(self, source: Source) -> None:
        """Read from the control tables which generation is live, and follow it."""
        if self._follows and (number := await live_number(source, self._control_schema, self._version)):
            self._become(number)


async def live_number(source: Source, control_schema: str, version: int) -> int | None:
    """Return the number of the live generation of a version, if there is one."""
    number: int | None = await source.fetchval(
        f"SELECT max(number) FROM \"{control_schema}\".generations WHERE status = 'live' AND version = $1",  # noqa: S608
        version,
    )
    return number


def views_schema(control_schema: str, number: int) -> str:
    """Return the name of the schema of one generation's views for auditors."""
    return f"{generation_schema(control_schema, number)}_views"


def generation_schema(control_schema: str, number: int) -> str:
    """Return the name of one generation's schema."""
    return f"{control_schema}_g{number}"
