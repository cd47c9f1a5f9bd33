"""The send queue: its bounds, its end, and the trio tasks that wait for frames or for room."""

import sys

import pytest
import trio
import trio.testing

from streamd.events import Event, Frame
from streamd.events.ids import make_event_id
from streamd.hub import LatestSendQueue, SendQueue
from tests.support.logs import draft

KINDS = pytest.mark.parametrize("kind", [SendQueue, LatestSendQueue])


def event(number: int, size: int = 10) -> Event:
    made = draft(f"topic {number}", "x" * size)
    return Event.from_draft(made, make_event_id(1, number))


def numbers(frames: list[Frame]) -> list[int]:
    return [int(frame.id[-6:]) for frame in frames if isinstance(frame, Event)]


@KINDS
async def test_frames_come_in_order_and_at_most_the_capacity(kind: type[SendQueue]) -> None:
    queue = kind(3, 10_000)
    assert [queue.put_nowait(event(number)) for number in range(5)] == [True, True, True, False, False]
    assert queue.waiting == 3
    assert numbers(await queue.get()) == [0, 1, 2]
    assert queue.waiting == 0
    assert queue.drain() == []
    assert queue.put_nowait(event(6))
    assert numbers(queue.drain()) == [6]


@KINDS
async def test_bytes_are_bounded_but_for_a_single_event(kind: type[SendQueue]) -> None:
    queue = kind(10, 1000)
    assert queue.put_nowait(event(1, 5000))
    assert not queue.put_nowait(event(2))
    queue.drain()
    assert queue.put_nowait(event(3, 500))
    assert not queue.put_nowait(event(4, 600))
    assert queue.put_nowait(event(5, 300))


@KINDS
async def test_a_reader_waits_for_the_first_frame_and_takes_all_that_are_there_then(
    kind: type[SendQueue],
) -> None:
    queue = kind(10, 10_000)
    received: list[list[int]] = []

    async def read() -> None:
        while frames := await queue.get():
            received.append(numbers(frames))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        queue.put_nowait(event(1))
        queue.put_nowait(event(2))
        assert queue.waiting == 2  # until the reader runs
        await trio.testing.wait_all_tasks_blocked()
        assert received == [[1, 2]]
        queue.put_nowait(event(3))
        await trio.testing.wait_all_tasks_blocked()
        assert received == [[1, 2], [3]]
        queue.put_nowait(event(4))
        queue.end()
    assert received == [[1, 2], [3], [4]]
    assert not queue.put_nowait(event(5))
    assert await queue.get() == []


@KINDS
async def test_a_cancelled_reader_loses_no_frame(kind: type[SendQueue]) -> None:
    queue = kind(10, 10_000)
    with trio.CancelScope() as scope:
        scope.cancel()
        queue.put_nowait(event(1))
        await queue.get()
    assert scope.cancelled_caught
    assert numbers(await queue.get()) == [1]
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.get)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    queue.put_nowait(event(2))
    assert numbers(await queue.get()) == [2]


@KINDS
async def test_writers_wait_for_room_and_the_closed_queue_ends_their_wait(kind: type[SendQueue]) -> None:
    queue = kind(2, 10_000)
    ended = []

    async def write(number: int) -> None:
        try:
            await queue.put(event(number))
        except trio.ClosedResourceError:
            ended.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(write, number)
        await trio.testing.wait_all_tasks_blocked()
        first = numbers(queue.drain())
        await trio.testing.wait_all_tasks_blocked()
        second = numbers(queue.drain())
        await trio.testing.wait_all_tasks_blocked()
        assert (len(first), len(second), queue.waiting) == (2, 2, 1)
        nursery.start_soon(write, 5)
        nursery.start_soon(write, 6)
        await trio.testing.wait_all_tasks_blocked()
        queue.close()
    assert len(ended) == 1
    assert queue.waiting == 0
    assert await queue.get() == []
    with pytest.raises(trio.ClosedResourceError):
        await queue.put(event(7))


@KINDS
async def test_only_one_task_reads(kind: type[SendQueue]) -> None:
    queue = kind(2, 10_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.get)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await queue.get()
        queue.close()


async def test_latest_keeps_the_newest_of_each_key_within_the_capacity() -> None:
    queue = LatestSendQueue(2, 10_000)
    older, other, newer = (
        Event.from_draft(draft(topic, "x"), make_event_id(1, number))
        for number, topic in enumerate(("a", "b", "a"))
    )
    assert queue.put_nowait(older)
    assert queue.put_nowait(other)
    assert not queue.put_nowait(event(7))
    assert queue.put_nowait(newer)
    assert queue.merged == 1
    assert await queue.get() == [other, newer]


def test_an_empty_queue_takes_little_memory() -> None:
    queue = SendQueue(256, 1 << 20)
    parts = [getattr(queue, name) for name in SendQueue.__slots__]
    assert sys.getsizeof(queue) <= 128
    assert not [part for part in parts if not isinstance(part, int | None)]
