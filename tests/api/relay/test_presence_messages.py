"""Messages of presence are what their models are encoded as, and are encoded once."""

import pytest

from api.presence.events import PresenceChange, PresenceNotification, PresenceSignal, PresentUser
from api.protocol import server_messages
from api.relay.presence_messages import PresenceMessages

ANN, BOB = (
    PresentUser("ann", 2, viewing=True, typing=False),
    PresentUser("bob", 0, viewing=False, typing=False),
)


def models(users: tuple[PresentUser, ...]) -> tuple[server_messages.PresentUser, ...] | None:
    """Return the models of users, None for nobody."""
    return tuple(server_messages.PresentUser(**user._asdict()) for user in users) or None


@pytest.mark.parametrize(
    "change",
    [
        PresenceChange("task:1", present=(ANN, BOB)),
        PresenceChange("task:1", joined=(ANN,)),
        PresenceChange("task:1", joined=(ANN,), left=(BOB,)),
        PresenceChange('list:"é', left=(BOB,)),
    ],
)
def test_change_is_encoded_like_its_model(change: PresenceChange) -> None:
    model = server_messages.Presence(
        channel=change.channel,
        present=models(change.present or ()),
        joined=models(change.joined),
        left=models(change.left),
    )
    assert PresenceMessages().message(change).value == model.encode()


def test_nobody_present_is_an_empty_list() -> None:
    message = PresenceMessages().message(PresenceChange("task:1", present=()))
    assert message.value == server_messages.Presence(channel="task:1", present=()).encode()


@pytest.mark.parametrize(
    "notification",
    [PresenceChange("task:1", joined=(ANN,)), PresenceSignal("task:1", "typing", {"on": True}, "ann", "s1")],
)
def test_notification_is_encoded_once_for_all_its_recipients(notification: PresenceNotification) -> None:
    messages = PresenceMessages()
    assert messages.message(notification) is messages.message(notification)
