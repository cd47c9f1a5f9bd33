"""The head of an event stream is sent with its first frame, in one system call."""

import socket
from typing import Any

import pytest
import trio

from streamd.server.output import Output
from streamd.testing import open_stream, run_server


class CountingSocket:
    """A socket that records its writes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        taken = self._sock.send(data)
        self.sent.append(bytes(data[:taken]))
        return taken

    def fileno(self) -> int:
        return self._sock.fileno()


class Owner:
    """The connection of an output; does nothing, because the tests look at what was written."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.spawn = nursery.start_soon

    def abort(self) -> None:
        """See :class:`OutputOwner`."""

    def fail(self) -> None:
        """See :class:`OutputOwner`."""


def make(nursery: trio.Nursery, ours: Any) -> Output:
    return Output(ours, 10.0, Owner(nursery))


async def test_a_held_write_is_sent_with_the_next_one() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        counting = CountingSocket(ours)
        async with trio.open_nursery() as nursery:
            output = make(nursery, counting)
            output.hold()
            await output.send(b"head ")
            assert counting.sent == []
            await output.send(b"body")
            assert counting.sent == [b"head body"]
            assert output.write_nowait(b" more")
            assert theirs.recv(100) == b"head body more"


@pytest.mark.parametrize("follow", ["put", "records", "nowait", "nothing"])
async def test_any_kind_of_write_sends_the_held_one(follow: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        async with trio.open_nursery() as nursery:
            output = make(nursery, ours)
            output.hold()
            await output.send(b"head")
            if follow == "put":
                output.put(b"!")
            elif follow == "records":
                output.put_records(b"!")
            elif follow == "nowait":
                assert output.write_nowait(b"!")
            else:
                await output.send(b"")  # as a connection does at its end
            assert theirs.recv(100).startswith(b"head")
            assert output.free


async def test_an_event_stream_begins_with_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bytes] = []
    writes: list[tuple[bytes, bytes]] = []
    put_held, put = Output.put_held, Output._put

    def note_held(self: Output, data: bytes) -> None:
        held.append(data)
        put_held(self, data)

    def note(self: Output, data: bytes) -> None:
        before = bytes(self._tail)
        put(self, data)
        writes.append((before, bytes(self._tail)))

    monkeypatch.setattr(Output, "put_held", note_held)
    monkeypatch.setattr(Output, "_put", note)
    with trio.fail_after(20):
        async with run_server() as server:
            async with open_stream(server.url, topics=["a"]) as reader:
                await reader.next_control("connected")
    assert held[0].startswith(b"HTTP/1.1 200")
    assert writes[0] == (held[0], b"")  # the first write took it along
