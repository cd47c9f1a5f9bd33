"""The client's publisher in a Node process, which tests call from Python."""

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from tests.support.node import DIST, node_command

PROGRAM: Final = Path(__file__).with_suffix(".mjs")


@attrs.frozen
class PublisherFailed(Exception):
    """A call has rejected with a StreamFailure."""

    status: int | None
    code: str
    message: str
    fatal: bool
    name: str


class NodePublisher:
    """Calls the methods of one publisher. Made by :func:`node_publisher`."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._ids = count()
        self._sending = trio.Lock()
        self._waiting: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method, and return its value.

        Raises:
            PublisherFailed: the call has rejected.
        """
        id = next(self._ids)
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        self._waiting[id] = send
        line = json.dumps({"id": id, "method": method, "args": args})
        assert self._process.stdin is not None
        async with self._sending:
            await self._process.stdin.send_all(line.encode() + b"\n")
        answer = await receive.receive()
        if "failure" in answer:
            raise PublisherFailed(**answer["failure"])
        return answer["value"]

    async def read(self) -> None:
        """Pass the answers on, until the process ends."""
        assert self._process.stdout is not None
        rest = b""
        async for chunk in self._process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                answer = json.loads(line)
                self._waiting.pop(answer["id"]).send_nowait(answer)
        assert not self._waiting, "Node ended before it answered"


@asynccontextmanager
async def node_publisher(url: str, **options: Any) -> AsyncIterator[NodePublisher]:
    """Run a publisher while the block lasts.

    Args:
        url: the server's address.
        options: further ones of ``createPublisher``.
    """
    module = (DIST / "publish.js").as_uri()
    command = [node_command(), str(PROGRAM), module, json.dumps({"url": url, **options})]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process: trio.Process = await nursery.start(run)
        publisher = NodePublisher(process)
        nursery.start_soon(publisher.read)
        yield publisher
        assert process.stdin is not None
        await process.stdin.aclose()
