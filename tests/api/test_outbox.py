"""The outbox: bounded, in order, and never a wait for who pushes."""

from __future__ import annotations

import asyncio

from api.outbox import TOO_SLOW, Farewell, Outbox


async def test_frames_leave_in_the_order_they_came() -> None:
    """A frame stays first until it was sent."""
    outbox = Outbox()
    outbox.push("a")
    outbox.push("b")
    assert [await outbox.first(), await outbox.first()] == ["a", "a"]
    outbox.sent()
    assert await outbox.first() == "b"


async def test_a_waiting_writer_is_woken_by_a_frame() -> None:
    """`first` waits while there is nothing."""
    outbox = Outbox()
    waiting = asyncio.ensure_future(outbox.first())
    await asyncio.sleep(0)
    outbox.push("a")
    assert await asyncio.wait_for(waiting, 1) == "a"


async def test_too_many_messages_close_it_and_free_what_it_held() -> None:
    """A reader that does not keep up costs no more than the bound, and is told to resume."""
    outbox = Outbox(max_messages=3)
    for number in range(4):
        outbox.push(str(number))
    assert await outbox.ended() == TOO_SLOW
    assert len(outbox) == 0
    outbox.push("late")
    assert len(outbox) == 0


async def test_too_many_bytes_close_it() -> None:
    """The bytes are bounded, not just the messages."""
    outbox = Outbox(max_bytes=10)
    outbox.push("12345678")
    assert not outbox.closed
    outbox.push("123")
    assert not outbox.closed
    outbox.push("1")
    assert await outbox.ended() == TOO_SLOW


async def test_a_frame_larger_than_the_bound_passes() -> None:
    """Its reader could never get past it otherwise."""
    outbox = Outbox(max_bytes=10)
    outbox.push("x" * 100)
    assert await outbox.first() == "x" * 100
    outbox.sent()
    outbox.push("y")
    assert not outbox.closed


async def test_room_is_there_again_when_half_of_it_is_sent() -> None:
    """A recovery goes on at its reader's pace."""
    outbox = Outbox(max_messages=4)
    for number in range(3):
        outbox.push(str(number))
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
