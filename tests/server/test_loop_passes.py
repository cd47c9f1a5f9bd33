"""Setups and teardowns of connections: newcomers do not wait for those that leave, or have left."""

import socket
import struct
from functools import partial
from typing import Any

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from streamd.metrics import Metrics
from streamd.proxies import TrustedProxies
from streamd.server import Certificates, ServerSettings
from streamd.server.accept import Listener
from streamd.server.address_slots import AddressSlots
from streamd.server.http1 import serve_http1
from streamd.server.loop_passes import LoopPassLimiter
from streamd.server.timeouts import ConnectionTimeouts
from tests.support.client_rig import open_client_rig

EACH_PASS = 4
SECONDS = 20
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s


async def order_of(setups: int, teardowns: int) -> str:
    """Let setups and teardowns wait for their turns; return the order as letters, ``s`` and ``t``."""
    limiter, done = LoopPassLimiter(EACH_PASS), []

    async def wait(name: str) -> None:
        await (limiter.setup_turn() if name == "s" else limiter.teardown_turn())
        done.append(name)

    for _ in range(EACH_PASS):
        assert not await limiter.setup_turn()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            for name in "t" * teardowns + "s" * setups:
                nursery.start_soon(wait, name)
            await wait_all_tasks_blocked()
            nursery.start_soon(limiter.run)
            while len(done) < setups + teardowns:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    return "".join(done)


async def test_a_newcomer_does_not_wait_for_clients_that_leave() -> None:
    order = await order_of(setups=3 * EACH_PASS, teardowns=500)
    last = order.rindex("s")
    assert order[:last].count("t") <= 3 * EACH_PASS


async def test_clients_that_leave_are_done_while_others_come() -> None:
    order = await order_of(setups=500, teardowns=3)
    assert order.rindex("t") < 4 * (EACH_PASS + 1)


async def test_a_client_that_resets_while_it_waits_gets_no_request_served() -> None:
    served: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        served.append(scope)

    limiter = LoopPassLimiter(1)
    assert not await limiter.setup_turn()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            with open_client_rig(nursery, app) as rig:
                rig.client.server = attrs.evolve(rig.client.server, limiter=limiter)
                ended = trio.Event()

                async def serve() -> None:
                    await serve_http1(rig.client)
                    ended.set()

                nursery.start_soon(serve)
                await wait_all_tasks_blocked()
                rig.peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await wait_all_tasks_blocked()
                rig.sock.send(b"unread")  # without which the end of a Unix socket is no reset
                rig.peer.close()
                nursery.start_soon(limiter.run)
                await ended.wait()
            nursery.cancel_scope.cancel()
    assert not served


async def test_connections_that_were_reset_before_accept_are_closed_at_once() -> None:
    accepted: list[socket.socket] = []

    def accept(_info: Any, sock: socket.socket, _peer: Any, _slot: str) -> Any:
        accepted.append(sock)
        return sock

    settings, metrics = ServerSettings(), Metrics(max_type_labels=1)
    slots = AddressSlots(TrustedProxies.create([]), 0, metrics)
    listening = socket.create_server(("127.0.0.1", 0), backlog=200)
    connect = partial(socket.create_connection, listening.getsockname())
    listener = Listener(
        listening, Certificates(settings), accept, settings, metrics, slots, ConnectionTimeouts()
    )
    for _ in range(150):
        with connect() as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with connect() as living, trio.fail_after(SECONDS):
        async with listener:
            await listener.accept()
        [only] = accepted
        assert only.getpeername() == living.getsockname()
        only.close()
