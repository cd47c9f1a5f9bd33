"""Inherited sockets: the channel to the supervisor, and several accept loops on one socket."""

import os
import socket
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streamd.errors import ConfigError
from streamd.metrics import Metrics
from streamd.proxies import TrustedProxies
from streamd.server import Certificates, Inheritance, ServerSettings
from streamd.server.accept import Listener
from streamd.server.address_slots import AddressSlots
from streamd.server.timeouts import ConnectionTimeouts


async def test_a_process_takes_over_its_descriptors_and_notices_the_end_of_its_supervisor() -> None:
    supervisor, child = socket.socketpair()
    with supervisor, socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        descriptors = (child.detach(), os.dup(listening.fileno()))
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        with Inheritance.parse(",".join(map(str, (3, *descriptors)))) as inherited:
            assert inherited.number == 3
            assert [sock.getsockname() for sock in inherited.sockets] == [address]
            assert not any(map(os.get_inheritable, descriptors)), "programs that it runs have no part in it"
            inherited.announce_ready()
            assert supervisor.recv(2) == b"\n"
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(inherited.wait_orphaned)
                    await wait_all_tasks_blocked()
                    assert nursery.child_tasks
                    supervisor.close()
            inherited.announce_ready()  # nobody is there, which is no error


@pytest.mark.parametrize("text", ["", "1", "one,2", "1,9999", "1,-1"])
def test_an_invalid_option_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--inherit"):
        Inheritance.parse(text)


async def test_one_connection_that_wakes_several_accept_loops_is_no_error() -> None:
    """Each loop has a descriptor of its own for one listening socket, as several processes have."""

    def accepted(_info: Any, sock: socket.socket, _peer: Any, _slot: str) -> Any:
        return sock

    settings, metrics = ServerSettings(), Metrics(max_type_labels=10)
    slots = AddressSlots(TrustedProxies.create([]), 0, metrics)
    listening = socket.create_server(("127.0.0.1", 0))
    listeners = [
        Listener(sock, Certificates(settings), accepted, settings, metrics, slots, ConnectionTimeouts())
        for sock in (listening, listening.dup(), listening.dup())
    ]
    sockets: list[socket.socket] = []

    async def accept(listener: Listener) -> None:
        while True:
            sockets.append(await listener.accept())  # type: ignore[arg-type]

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(accept, listener)
            for count in range(1, 6):
                await wait_all_tasks_blocked()
                with socket.create_connection(listening.getsockname()):
                    while len(sockets) < count:
                        await trio.lowlevel.checkpoint()
                    await wait_all_tasks_blocked()
                assert len(sockets) == count
            nursery.cancel_scope.cancel()
    for listener in listeners:
        await listener.aclose()
    for sock in sockets:
        sock.close()
