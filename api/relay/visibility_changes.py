"""Changes of what subscribers may see: users who join or leave lists, and tasks that move between lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from api.relay.membership import joined_list, membership_after, moved_to
from api.relay.subscriber_index import SubscriberIndex
from api.relay.subscribers import Subscriber, Subscription
from app.channels import Channel, list_channel, task_channel
from app.log.updates import Update

NOTHING_LEFT: Mapping[str, int] = {}


class VisibilityChanges:
    """Applies updates of lists, and of tasks that move, to the subscribers that they concern."""

    def __init__(self, subscribers: SubscriberIndex) -> None:
        self._subscribers = subscribers

    def joins(self, subscriber: Subscriber, update: Update, left: Mapping[str, int] = NOTHING_LEFT) -> bool:
        """Return True if its user joins a list with this update, the next one for it; then it is `joining`.

        A list that the user has `left` by a later update (see `leaves`) is not joined for the time between.
        """
        list_id = joined_list(update, subscriber.user)
        if list_id is None or list_id in subscriber.lists or subscriber.knows(update):
            return False
        if left.get(list_id, -1) > update.position.offset:
            return False
        subscriber.joining = update
        return True

    def leaves(self, subscriber: Subscriber, updates: Iterable[Update]) -> dict[str, int]:
        """Remove the lists that its user leaves with one of these updates, before their turn.

        Return these lists, each with the offset of the last update that removes it. Where the replay buffer
        no longer has the order, partitions are sent one after another: an event of a list after its user had
        left it must not be sent because it lies in an earlier partition.
        """
        left: dict[str, int] = {}
        for update in updates:
            list_id = self._follow_membership(subscriber, update)
            if list_id is not None:
                left[list_id] = update.position.offset
        return left

    def pause_joining(self, update: Update) -> None:
        """Pause subscribers whose user joins a list with the update that is about to be published."""
        for subscriber in self._users_of(update):
            if subscriber.cursor is None and self.joins(subscriber, update):
                self._subscribers.pause(subscriber)
                subscriber.sink.paused()

    def follow_live(self, update: Update, *, is_list: bool) -> None:
        """Apply the consequences of an update on what live subscribers may see."""
        if is_list:
            concerned = self._users_of(update)
        elif moved_to(update) is not None:
            concerned = list(self._subscribers.channels.get(task_channel(update.stream.key), ()))
        else:
            return
        for subscriber in concerned:
            if subscriber.cursor is None:
                self.follow(subscriber, update)

    def follow(self, subscriber: Subscriber, update: Update) -> None:
        """Apply the consequences of an update on what one subscriber may see."""
        self._follow_membership(subscriber, update)
        list_id = moved_to(update)
        if list_id is not None:
            self._moved(subscriber, task_channel(update.stream.key), list_id)

    def _follow_membership(self, subscriber: Subscriber, update: Update) -> str | None:
        """Remove a list if the user leaves it with this update; return the list."""
        membership = None if subscriber.knows(update) else membership_after(update)
        if membership is None or subscriber.user in membership.users:
            return None
        self._leave(subscriber, membership.list_id)
        return membership.list_id

    def _users_of(self, update: Update) -> list[Subscriber]:
        users = [channel.key for channel in update.channels if channel.kind == "user"]
        return [subscriber for user in users for subscriber in self._subscribers.users.get(user, ())]

    def _leave(self, subscriber: Subscriber, list_id: str) -> None:
        subscriber.lists.discard(list_id)
        own = list_channel(list_id)
        seen_through_it = [
            channel
            for channel, subscription in subscriber.channels.items()
            if channel == own or subscription.list_id == list_id
        ]
        for channel in seen_through_it:
            self._remove(subscriber, channel)

    def _moved(self, subscriber: Subscriber, channel: Channel, list_id: str) -> None:
        subscription = subscriber.channels.get(channel)
        if subscription is None:
            return
        if list_id in subscriber.lists:
            self._subscribers.subscribe(subscriber, channel, Subscription(subscription.start, list_id))
        else:
            self._remove(subscriber, channel)

    def _remove(self, subscriber: Subscriber, channel: Channel) -> None:
        """Remove a channel, and notify the client after what it was sent before."""
        subscriber.flush()
        self._subscribers.unsubscribe(subscriber, channel)
        subscriber.sink.removed(channel)
