"""Send queue: bounded, ordered, and never blocking."""

from __future__ import annotations

import asyncio

from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import JSON, EncodedMessage, MessageBatch
from api.transports.send_queue import SendQueue
from tests.waiting import LIMIT_S


def message(text: str) -> EncodedMessage:
    return EncodedMessage(text.encode())


async def first(send_queue: SendQueue) -> str:
    return b"".join((await send_queue.first()).payloads(JSON)).decode()


async def test_frames_leave_in_order() -> None:
    """A frame stays first until it was sent."""
    send_queue = SendQueue()
    send_queue.push(message("a"))
    send_queue.push(message("b"))
    assert [await first(send_queue), await first(send_queue)] == ["a", "a"]
    send_queue.sent()
    assert await first(send_queue) == "b"


async def test_frame_wakes_a_waiting_writer() -> None:
    """`first` waits while the queue is empty."""
    send_queue = SendQueue()
    waiting = asyncio.ensure_future(first(send_queue))
    await asyncio.sleep(0)
    send_queue.push(message("a"))
    assert await asyncio.wait_for(waiting, LIMIT_S) == "a"


async def test_too_many_messages_close_the_queue_and_free_memory() -> None:
    """The client is asked to resume."""
    send_queue = SendQueue(max_messages=3)
    for number in range(4):
        send_queue.push(message(str(number)))
    assert await send_queue.ended() == TOO_SLOW
    assert len(send_queue) == 0
    send_queue.push(message("late"))
    assert len(send_queue) == 0


async def test_joined_messages_are_counted_one_by_one() -> None:
    send_queue = SendQueue(max_messages=3)
    assert send_queue.push(MessageBatch([message("a"), message("b"), message("c")]))
    assert not send_queue.push(message("d"))
    assert send_queue.size == 0


async def test_too_many_bytes_close_the_queue() -> None:
    """Bytes are bounded, not only messages."""
    send_queue = SendQueue(max_bytes=10)
    send_queue.push(message("12345678"))
    assert not send_queue.closed
    send_queue.push(message("123"))
    assert not send_queue.closed
    send_queue.push(message("1"))
    assert await send_queue.ended() == TOO_SLOW


async def test_frame_larger_than_the_bound_passes() -> None:
    """Otherwise its client could never get past it."""
    send_queue = SendQueue(max_bytes=10)
    send_queue.push(message("x" * 100))
    assert await first(send_queue) == "x" * 100
    send_queue.sent()
    send_queue.push(message("y"))
    assert not send_queue.closed


async def test_room_is_available_when_half_is_sent() -> None:
    """A recovery continues at its client's pace."""
    send_queue = SendQueue(max_messages=4)
    for number in range(3):
        send_queue.push(message(str(number)))
    room = asyncio.ensure_future(send_queue.writable())
    await asyncio.sleep(0)
    assert not room.done()
    send_queue.sent()
    await asyncio.wait_for(room, LIMIT_S)


async def test_first_close_reason_counts() -> None:
    """Later ones find the queue closed."""
    send_queue = SendQueue()
    send_queue.close(None)
    send_queue.close(CloseReason(4001, "restarting"))
    assert await send_queue.ended() is None
