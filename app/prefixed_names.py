"""Names of two parts with a colon between, such as `task:<id>`: ids of streams, names of channels."""

from __future__ import annotations


class PrefixedName(str):
    """A name with its kind before the colon, and its key after it.

    It is a string, because the log, the tables and the messages contain it as such.
    """

    __slots__ = ()

    @property
    def kind(self) -> str:
        """The part before the colon; all of the name if there is no colon."""
        return self.partition(":")[0]

    @property
    def key(self) -> str:
        """The part after the colon: the id of a task or list, or the name of a user; empty without one."""
        return self.partition(":")[2]
