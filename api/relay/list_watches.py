"""Watches on lists: callbacks for users who lose access to a list while something of it is sent to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from api.relay.membership import membership_after
from app.log.updates import Update

DELETED = "the list was deleted"
REMOVED = "you are no longer a member of the list"


@dataclass(frozen=True, slots=True, eq=False)
class ListWatch:
    """One user's watch on a list; `left` is called with the reason, once at most."""

    list_id: str
    user: str
    left: Callable[[str], None]


class ListWatches:
    """The watches of a node."""

    def __init__(self) -> None:
        self._watches: dict[str, dict[ListWatch, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._watches.values()))

    def __contains__(self, watch: ListWatch) -> bool:
        return watch in self._watches.get(watch.list_id, ())

    def add(self, watch: ListWatch) -> None:
        """Call `watch.left` when its user loses access to its list from now on."""
        self._watches.setdefault(watch.list_id, {})[watch] = None

    def discard(self, watch: ListWatch) -> None:
        """Remove a watch, if it is there."""
        watches = self._watches.get(watch.list_id)
        if watches is not None:
            watches.pop(watch, None)
            if not watches:
                del self._watches[watch.list_id]

    def follow(self, update: Update) -> None:
        """Apply an update of a list."""
        if update.stream.key not in self._watches:
            return
        membership = membership_after(update)
        if membership is None:
            return
        reason = REMOVED if membership.users else DELETED
        for watch in list(self._watches[membership.list_id]):
            if watch.user not in membership.users:
                self.discard(watch)
                watch.left(reason)
