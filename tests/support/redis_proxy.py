"""A server between a client and Redis that loses replies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from streamd.redis.address import RedisAddress
from tests.support.redis_servers import shared_server

_READ_BYTES: Final = 65536


class LossyProxy:
    """A server on a Unix socket that passes commands on to the shared Redis server.

    Attributes:
        address: of its socket.
        loses: a part of a command: the connection that sends it is closed instead of taking its reply.
        lost: number of replies that were lost.
    """

    def __init__(self, path: Path) -> None:
        self.address: Final = RedisAddress(path=str(path))
        self.loses = b""
        self.lost = 0

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        server = trio.socket.socket(trio.socket.AF_UNIX)
        await server.bind(self.address.path)
        server.listen()
        with server:
            task_status.started()
            await trio.serve_listeners(self._serve_client, [trio.SocketListener(server)])

    async def _serve_client(self, client: trio.SocketStream) -> None:
        redis = await trio.open_unix_socket(shared_server().address.path)
        is_losing = False

        async def pass_replies(scope: trio.CancelScope) -> None:
            async for reply in redis:
                if is_losing:
                    self.lost += 1
                    break
                await client.send_all(reply)
            scope.cancel()

        async with client, redis, trio.open_nursery() as nursery:
            nursery.start_soon(pass_replies, nursery.cancel_scope)
            before = b""
            try:
                while data := await client.receive_some(_READ_BYTES):
                    if self.loses and self.loses in before + data:
                        self.loses, is_losing = b"", True
                    before = (before + data)[-len(self.loses) :] if self.loses else b""
                    await redis.send_all(data)
            except trio.BrokenResourceError:
                pass
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def lossy_proxy(folder: Path) -> AsyncIterator[LossyProxy]:
    """Serve a proxy while the block lasts."""
    proxy = LossyProxy(folder / "proxy.sock")
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        yield proxy
        nursery.cancel_scope.cancel()
