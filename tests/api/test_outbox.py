"""The outbox: bounded, in order, and never a wait for who pushes."""

from __future__ import annotations

import asyncio

from api.frames import JSON, Joined, Outgoing
from api.outbox import TOO_SLOW, Farewell, Outbox


def message(text: str) -> Outgoing:
    return Outgoing(text.encode())


async def first(outbox: Outbox) -> str:
    return b"".join((await outbox.first()).payloads(JSON)).decode()


async def test_frames_leave_in_the_order_they_came() -> None:
    """A frame stays first until it was sent."""
    outbox = Outbox()
    outbox.push(message("a"))
    outbox.push(message("b"))
    assert [await first(outbox), await first(outbox)] == ["a", "a"]
    outbox.sent()
    assert await first(outbox) == "b"


async def test_a_waiting_writer_is_woken_by_a_frame() -> None:
    """`first` waits while there is nothing."""
    outbox = Outbox()
    waiting = asyncio.ensure_future(first(outbox))
    await asyncio.sleep(0)
    outbox.push(message("a"))
    assert await asyncio.wait_for(waiting, 1) == "a"


async def test_too_many_messages_close_it_and_free_what_it_held() -> None:
    """A reader that does not keep up costs no more than the bound, and is told to resume."""
    outbox = Outbox(max_messages=3)
    for number in range(4):
        outbox.push(message(str(number)))
    assert await outbox.ended() == TOO_SLOW
    assert len(outbox) == 0
    outbox.push(message("late"))
    assert len(outbox) == 0


async def test_messages_that_are_joined_are_counted_one_by_one() -> None:
    """As many as they are."""
    outbox = Outbox(max_messages=3)
    assert outbox.push(Joined([message("a"), message("b"), message("c")]))
    assert not outbox.push(message("d"))
    assert outbox.size == 0


async def test_too_many_bytes_close_it() -> None:
    """The bytes are bounded, not just the messages."""
    outbox = Outbox(max_bytes=10)
    outbox.push(message("12345678"))
    assert not outbox.closed
    outbox.push(message("123"))
    assert not outbox.closed
    outbox.push(message("1"))
    assert await outbox.ended() == TOO_SLOW


async def test_a_frame_larger_than_the_bound_passes() -> None:
    """Its reader could never get past it otherwise."""
    outbox = Outbox(max_bytes=10)
    outbox.push(message("x" * 100))
    assert await first(outbox) == "x" * 100
    outbox.sent()
    outbox.push(message("y"))
    assert not outbox.closed


async def test_room_is_there_again_when_half_of_it_is_sent() -> None:
    """A recovery goes on at its reader's pace."""
    outbox = Outbox(max_messages=4)
    for number in range(3):
        outbox.push(message(str(number)))
    room = asyncio.ensure_future(outbox.room())
    await asyncio.sleep(0)
    assert not room.done()
    outbox.sent()
    await asyncio.wait_for(room, 1)


async def test_the_first_reason_to_close_is_the_one() -> None:
    """Whoever comes later finds it closed."""
    outbox = Outbox()
    outbox.close(None)
    outbox.close(Farewell(4001, "restarting"))
    assert await outbox.ended() is None
