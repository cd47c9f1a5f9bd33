"""The end of an output: errors, timeouts, closing, and reused descriptors."""

import os
import socket
import ssl
import struct

import pytest
import trio
import trio.testing

from tests.support.output_rig import BIG, PATIENCE_SECONDS, Rig, open_rig

_LINGER_ZERO = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() resets the connection


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        return listener.accept()[0], peer


async def reset_by_peer(rig: Rig) -> None:
    """Reset the connection as the peer, and wait until the kernel has received that."""
    rig.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    rig.peer.close()
    await trio.lowlevel.wait_readable(rig.sock)


async def test_a_reset_during_a_send_aborts_once_and_raises() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery, pair=tcp_pair()) as rig:
                await reset_by_peer(rig)
                for _ in range(3):
                    with pytest.raises(trio.ClosedResourceError):
                        await rig.output.send(b"x")
                assert rig.failures == 1


@pytest.mark.parametrize("kind", ["direct", "put"])
async def test_a_reset_found_without_waiting_aborts_once_and_does_not_raise(kind: str) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery, pair=tcp_pair()) as rig:
                await reset_by_peer(rig)
                for _ in range(3):
                    if kind == "direct":
                        assert not rig.output.write_nowait(b"x")
                    else:
                        rig.output.put(b"x")
                assert rig.output.closed
                assert not rig.is_free()
                assert rig.failures == 1


@pytest.mark.parametrize("kind", ["send", "direct", "put"])
async def test_a_reset_during_a_flush_aborts_once_and_each_send_raises(kind: str) -> None:
    raised = 0

    async def send(rig: Rig, data: bytes) -> None:
        nonlocal raised
        with pytest.raises(trio.ClosedResourceError):
            await rig.output.send(data)
        raised += 1

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery, pair=tcp_pair()) as rig:
                data = b"a" * (20 * BIG)  # more than both kernel buffers hold
                if kind == "direct":
                    assert rig.output.write_nowait(data)
                elif kind == "put":
                    rig.output.put(data)
                else:
                    nursery.start_soon(send, rig, data)
                await trio.testing.wait_all_tasks_blocked()
                async with trio.open_nursery() as sending:
                    for _ in range(3):
                        sending.start_soon(send, rig, b"b")
                    await trio.testing.wait_all_tasks_blocked()
                    await reset_by_peer(rig)
                await trio.testing.wait_all_tasks_blocked()
                assert rig.failures == 1
                assert raised == (4 if kind == "send" else 3)


@pytest.mark.parametrize("kind", ["send", "direct", "put"])
async def test_the_write_timeout_aborts(kind: str, autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        with open_rig(nursery, timeout_seconds=20) as rig:
            nursery.start_soon(close_later, rig)
            if kind == "direct":
                assert rig.output.write_nowait(b"a" * BIG)
            elif kind == "put":
                rig.output.put(b"a" * BIG)
            await trio.sleep(5)
            nursery.start_soon(fail_to_send, rig, b"b" * BIG)
            await trio.testing.wait_all_tasks_blocked()
            await fail_to_send(rig, b"c")  # and so does the queued one
            assert trio.current_time() == pytest.approx(start + 20 + (5 if kind == "send" else 0))
            assert rig.output.closed
            assert rig.failures == 1
        nursery.cancel_scope.cancel()


async def close_later(rig: Rig) -> None:
    """Close the rig after a failure of the test: a pending send cannot be cancelled."""
    await trio.sleep(1000)
    rig.close()


async def fail_to_send(rig: Rig, data: bytes) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await rig.output.send(data)


async def test_a_write_just_before_the_timeout_is_completed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        with open_rig(nursery, timeout_seconds=20) as rig:
            nursery.start_soon(rig.output.send, b"a" * BIG)
            await trio.sleep(19)
            assert await rig.read(BIG) == b"a" * BIG
            await trio.sleep(60)
            assert rig.failures == 0
            assert rig.is_free()


async def test_an_error_of_encryption_aborts_like_an_error_of_the_socket() -> None:
    """TLS makes no more records after the peer has broken off, or sent garbage."""

    def broken(data: bytes) -> bytes:
        raise ssl.SSLEOFError

    async def write(rig: Rig, kind: str) -> None:
        if kind == "send":
            with pytest.raises(trio.ClosedResourceError):
                await rig.output.send(b"x")
        elif kind == "direct":
            assert not rig.output.write_nowait(b"x")
        else:
            rig.output.put(b"x")

    async with trio.open_nursery() as nursery:
        for kind in ("send", "direct", "put"):
            with open_rig(nursery) as rig:
                rig.output.encrypt_with(broken)
                await write(rig, kind)
                await write(rig, kind)
                assert rig.failures == 1
                assert rig.output.closed
                assert rig.available() == b""


async def test_closing_drops_the_tail_and_nothing_is_written_after_it() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                assert rig.output.write_nowait(b"a" * BIG)
                await trio.testing.wait_all_tasks_blocked()
                rig.output.close()
                rig.output.close()
                assert not rig.output.write_nowait(b"b")
                rig.output.put(b"c")
                rig.output.put_records(b"d")
                taken = rig.available()  # makes room in the kernel for the waiting flush
                with pytest.raises(trio.ClosedResourceError):
                    await rig.output.send(b"e")
                await trio.testing.wait_all_tasks_blocked()
                assert rig.available() == b""
                assert 0 < len(taken) < BIG
                assert taken == b"a" * len(taken)
                assert not rig.is_free()
                assert rig.failures == 0  # closed by its owner


async def test_pending_sends_raise_when_the_output_is_closed() -> None:
    raised = 0

    async def send(rig: Rig) -> None:
        nonlocal raised
        with pytest.raises(trio.ClosedResourceError):
            await rig.output.send(b"a" * BIG)
        raised += 1

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                for _ in range(4):
                    nursery.start_soon(send, rig)
                await trio.testing.wait_all_tasks_blocked()
                rig.close()
                await trio.testing.wait_all_tasks_blocked()
                assert raised == 4


@pytest.mark.parametrize("kind", ["idle", "flushing", "sending", "encrypted"])
async def test_nothing_reaches_a_new_socket_with_the_same_descriptor(kind: str) -> None:
    """In 8 s of reaping, a prototype that kept descriptors wrote 3,980 times to other clients."""

    async def send(rig: Rig, data: bytes) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await rig.output.send(data)

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            with open_rig(nursery) as rig:
                number = rig.sock.fileno()
                made, stranger = socket.socketpair()
                stranger.setblocking(False)
                if kind == "encrypted":
                    rig.output.encrypt_with(bytes)
                if kind == "sending":
                    nursery.start_soon(send, rig, b"a" * BIG)
                    nursery.start_soon(send, rig, b"b" * BIG)
                elif kind != "idle":
                    assert rig.output.write_nowait(b"a" * BIG)
                await trio.testing.wait_all_tasks_blocked()
                rig.close()
                os.dup2(made.fileno(), number)
                made.close()
                with socket.socket(fileno=number), stranger:
                    assert not rig.output.write_nowait(b"direct")
                    rig.output.put(b"put")
                    rig.output.put_records(b"records")
                    await send(rig, b"sent")
                    await trio.testing.wait_all_tasks_blocked()  # the flush has run
                    with pytest.raises(BlockingIOError):
                        stranger.recv(1)
