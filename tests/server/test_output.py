"""An output keeps the order of its writes, over real sockets with tiny buffers."""

import itertools
import random
import socket
import struct

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.output_rig import BIG, PATIENCE_SECONDS, Rig, open_rig

_HEAD = struct.Struct("!II")  # of a message: its number and its size


async def test_a_direct_write_reaches_the_peer_at_once() -> None:
    async with trio.open_nursery() as nursery:
        with open_rig(nursery) as rig:
            assert rig.output.write_nowait(b"one")
            assert rig.available() == b"one"
            assert rig.is_free()


async def test_the_rest_of_a_direct_write_is_flushed_and_nothing_overtakes_it() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                assert rig.output.write_nowait(b"a" * BIG)
                assert not rig.is_free()
                assert not rig.output.write_nowait(b"rejected")
                rig.output.put(b"b" * 10)
                nursery.start_soon(rig.output.send, b"c" * BIG)
                await trio.testing.wait_all_tasks_blocked()
                assert not rig.output.write_nowait(b"rejected")
                assert await rig.read(2 * BIG + 10) == b"a" * BIG + b"b" * 10 + b"c" * BIG
                await trio.testing.wait_all_tasks_blocked()
                assert rig.is_free()
                assert rig.output.write_nowait(b"end")
                assert await rig.read(3) == b"end"
                assert rig.failures == 0


async def test_a_direct_write_is_rejected_while_a_send_is_active_or_queued() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                nursery.start_soon(rig.output.send, b"a" * BIG)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(rig.output.send, b"b" * BIG)
                await trio.testing.wait_all_tasks_blocked()
                assert not rig.output.write_nowait(b"rejected")
                rig.output.put(b"p")  # goes to the tail, while the second send is still queued
                assert await rig.read(BIG + 1) == b"a" * BIG + b"p"
                await trio.testing.wait_all_tasks_blocked()
                assert not rig.output.write_nowait(b"rejected")
                assert await rig.read(BIG) == b"b" * BIG
                await trio.testing.wait_all_tasks_blocked()
                assert rig.output.write_nowait(b"accepted")


async def test_a_direct_write_is_rejected_until_the_sender_has_resumed() -> None:
    """A send that the kernel took at once is still active during its checkpoint."""
    seen: list[bool] = []

    def look(data: bytes) -> bytes:
        seen.append(rig.is_free())
        seen.append(rig.output.write_nowait(b"rejected"))
        return data

    async with trio.open_nursery() as nursery:
        with open_rig(nursery) as rig:
            rig.output.encrypt_with(look)
            await rig.output.send(b"sent")
            assert seen == [False, False]
            assert rig.available() == b"sent"


async def test_a_direct_write_does_not_overtake_bytes_put_during_a_send() -> None:
    """Trio chooses randomly which of the two trio tasks runs first."""
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                with open_rig(nursery) as rig:
                    has_put = trio.Event()
                    encrypt_and_start(rig, nursery, has_put)
                    await rig.output.send(b"sent")
                    assert rig.output.write_nowait(b"direct") is not has_put.is_set()
                    await has_put.wait()
                    await trio.testing.wait_all_tasks_blocked()


def encrypt_and_start(rig: Rig, nursery: trio.Nursery, has_put: trio.Event) -> None:
    """At the next message, start a trio task that puts more than the kernel takes."""

    async def put() -> None:
        rig.output.put(b"a" * BIG)
        has_put.set()

    def start(data: bytes) -> bytes:
        rig.output.encrypt_with(bytes)
        nursery.start_soon(put)
        return data

    rig.output.encrypt_with(start)


async def test_a_full_kernel_rejects_a_direct_write_but_a_tls_record_is_sent() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                filled = 0
                with pytest.raises(BlockingIOError):
                    while True:
                        filled += rig.sock.send(b"x")
                assert not rig.output.write_nowait(b"rejected")
                assert rig.is_free()
                rig.output.encrypt_with(bytes.upper)
                assert rig.output.write_nowait(b"record")
                assert not rig.is_free()
                assert await rig.read(filled + 6) == b"x" * filled + b"RECORD"


@attrs.define
class Message:
    """The bytes of one write, and the ticks of its begin and end on a logical clock."""

    data: bytes
    begun: int
    done: int = 0
    accepted: bool = False


def split_messages(stream: bytes) -> list[tuple[int, bytes]]:
    """Split a stream into its messages: their numbers and bytes."""
    found = []
    while stream:
        number, size = _HEAD.unpack_from(stream)
        found.append((number, stream[:size]))
        stream = stream[size:]
    return found


async def write_at_random(
    rig: Rig, messages: list[Message], clock: "itertools.count[int]", random_: random.Random
) -> None:
    """Write some messages by all methods; sends may be cancelled at any point."""

    async def cancel_later(scope: trio.CancelScope) -> None:
        for _ in range(random_.randrange(12)):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            size = _HEAD.size + random_.choice((0, 1, 700, 5_000, 30_000))
            data = _HEAD.pack(len(messages), size) + random_.randbytes(size - _HEAD.size)
            message = Message(data, next(clock))
            messages.append(message)
            kind = random_.choice(("direct", "put", "send", "send", "cancelled"))
            if kind == "direct":
                message.accepted = rig.output.write_nowait(data)
            elif kind == "put":
                rig.output.put(data)
                message.accepted = True
            else:
                with trio.CancelScope() as scope:
                    if kind == "cancelled":
                        nursery.start_soon(cancel_later, scope)
                    await rig.output.send(data)
                    message.accepted = True
            message.done = next(clock)
            for _ in range(random_.randrange(3)):
                await trio.lowlevel.checkpoint()


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 2**32), encrypted=st.booleans())
def test_all_accepted_messages_arrive_whole_and_in_order(seed: int, encrypted: bool) -> None:
    random_ = random.Random(seed)
    messages: list[Message] = []
    made: list[bytes] = []

    def encrypt(data: bytes) -> bytes:
        made.append(data)
        return data

    async def main() -> None:
        clock = itertools.count(1)
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                with open_rig(nursery) as rig:
                    received: list[bytes] = []

                    async def read() -> None:
                        received.append(await rig.read_irregularly(random_))

                    async with trio.open_nursery() as reading:
                        reading.start_soon(read)
                        if encrypted:
                            rig.output.encrypt_with(encrypt)
                        async with trio.open_nursery() as writing:
                            for _ in range(5):
                                writing.start_soon(write_at_random, rig, messages, clock, random_)
                        await rig.output.send(_HEAD.pack(len(messages), _HEAD.size))  # after all others
                        rig.sock.shutdown(socket.SHUT_WR)
                    *arrived, last = split_messages(received[0])
                    assert last[0] == len(messages)
                    assert rig.failures == 0
                    assert rig.is_free()
        if encrypted:
            assert received[0] == b"".join(made)
        accepted = {number: m.data for number, m in enumerate(messages) if m.accepted}
        assert dict(arrived) == accepted
        assert len(arrived) == len(accepted)
        # A message that was completely written before another was begun precedes it.
        latest_begun = 0
        for number, _ in arrived:
            assert messages[number].done > latest_begun
            latest_begun = max(latest_begun, messages[number].begun)

    trio.run(main)


async def test_a_send_that_is_cancelled_in_the_queue_writes_nothing() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                nursery.start_soon(rig.output.send, b"a" * BIG)
                await trio.testing.wait_all_tasks_blocked()
                async with trio.open_nursery() as waiting:
                    waiting.start_soon(rig.output.send, b"never")
                    await trio.testing.wait_all_tasks_blocked()
                    nursery.start_soon(rig.output.send, b"c")
                    await trio.testing.wait_all_tasks_blocked()
                    waiting.cancel_scope.cancel()
                assert not rig.output.write_nowait(b"rejected")
                assert await rig.read(BIG + 1) == b"a" * BIG + b"c"
                await trio.testing.wait_all_tasks_blocked()
                assert rig.output.write_nowait(b"d")
                assert rig.available() == b"d"


async def test_a_send_that_is_cancelled_after_its_begin_is_completed() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig, trio.CancelScope() as scope:
                async with trio.open_nursery() as sending:
                    sending.start_soon(rig.output.send, b"a" * BIG)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
                    with trio.fail_after(PATIENCE_SECONDS, shield=True):
                        await trio.testing.wait_all_tasks_blocked()
                        assert await rig.read(BIG) == b"a" * BIG
            assert rig.failures == 0
