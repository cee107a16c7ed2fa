"""Micro-batches: immediate when idle, ordered, bounded."""

import asyncio

from streams.batches import MicroBatches


async def test_few_items_are_returned_at_once() -> None:
    batches: MicroBatches[int] = MicroBatches(busy=3, gather_s=60, gather_most_s=60)
    for size in (1, 1, 2, 2, 3):
        for item in range(size):
            await batches.put(item)
        assert await batches.next(60) == list(range(size))


async def test_wait_without_items_times_out() -> None:
    batches: MicroBatches[int] = MicroBatches()
    assert await batches.next(0.01) == []


async def test_item_wakes_a_waiting_consumer() -> None:
    batches: MicroBatches[int] = MicroBatches()
    waiting = asyncio.create_task(batches.next(60))
    await asyncio.wait({waiting}, timeout=0.05)
    await batches.put(1)
    assert await waiting == [1]


async def test_batch_after_several_items_waits_until_it_is_full() -> None:
    batches: MicroBatches[int] = MicroBatches(most=10, busy=5, gather_s=60, gather_most_s=60)
    for item in range(5):
        await batches.put(item)
    assert await batches.next(60) == list(range(5))
    await batches.put(5)
    waiting = asyncio.create_task(batches.next(60))
    for item in range(6, 15):
        await batches.put(item)
    assert await waiting == list(range(5, 15))


async def test_full_queue_blocks_the_producer() -> None:
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


async def test_consumer_can_be_released_without_items() -> None:
    batches: MicroBatches[int] = MicroBatches()
    waiting = asyncio.create_task(batches.next(60))
    await asyncio.wait({waiting}, timeout=0.05)
    batches.wake()
    assert await waiting == []
