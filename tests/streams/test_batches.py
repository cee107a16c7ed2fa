"""Micro-batches: at once when idle, in order, bounded."""

import asyncio

from streams.batches import MicroBatches


async def test_one_item_goes_at_once() -> None:
    batches: MicroBatches[int] = MicroBatches(gather_s=60)
    await batches.put(1)
    assert await batches.next(60) == [1]


async def test_nothing_comes_back_empty_in_time() -> None:
    batches: MicroBatches[int] = MicroBatches()
    assert await batches.next(0.01) == []


async def test_a_waiting_consumer_is_woken() -> None:
    batches: MicroBatches[int] = MicroBatches()
    waiting = asyncio.create_task(batches.next(60))
    await asyncio.wait({waiting}, timeout=0.05)
    await batches.put(1)
    assert await waiting == [1]


async def test_after_a_large_batch_the_next_is_let_grow_until_it_is_full() -> None:
    batches: MicroBatches[int] = MicroBatches(most=10, large=5, gather_s=60)
    for item in range(5):
        await batches.put(item)
    assert await batches.next(60) == list(range(5))
    await batches.put(5)
    waiting = asyncio.create_task(batches.next(60))
    for item in range(6, 15):
        await batches.put(item)
    assert await waiting == list(range(5, 15))


async def test_a_full_queue_makes_the_producer_wait() -> None:
    batches: MicroBatches[int] = MicroBatches(most=2)
    await batches.put(1)
    await batches.put(2)
    third = asyncio.create_task(batches.put(3))
    await asyncio.wait({third}, timeout=0.05)
    assert not third.done()
    assert len(batches) == 2
    assert await batches.next(60) == [1, 2]
    await third
    assert await batches.next(60) == [3]


async def test_a_consumer_can_be_sent_away_empty_handed() -> None:
    batches: MicroBatches[int] = MicroBatches()
    waiting = asyncio.create_task(batches.next(60))
    await asyncio.wait({waiting}, timeout=0.05)
    batches.wake()
    assert await waiting == []
