"""An OpenAI-compatible model for tests: answers of a fake server, and settings to reach it with."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import trio

from streamd.config import RetrySettings
from streamd.text.settings import TextSettings
from tests.support.fake_server import NO_HEADERS, Answer, Exchange, FakeServer, respond

KEY: Final = "sk-secret-42"
STREAM: Final = {"Content-Type": "text/event-stream"}
DONE: Final = b"data: [DONE]\n\n"


def model_url(server: FakeServer) -> str:
    """Return the value of ``text.url`` for a server."""
    return f"{server.url}/v1"


def text_settings(server: FakeServer, **changes: Any) -> TextSettings:
    """Make settings for a model on this server, with pauses between attempts that cost a test nothing."""
    retry = RetrySettings(backoff_seconds=0.01)
    defaults = {"url": model_url(server), "model": "tiny-1", "api_key": KEY, "retry": retry}
    return TextSettings(**{**defaults, **changes})


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    """Encode one chunk of a completion as an event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    fields = {"id": "c1", "object": "chat.completion.chunk", "model": "tiny-1", "choices": [choice]}
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def complete(*pieces: str) -> Answer:
    """Make an answer that is a whole text, a chunk for each piece."""

    async def answer(exchange: Exchange) -> None:
        await begin(exchange)
        await say(exchange, *pieces)
        await finish(exchange)

    return answer


def refuse(status: int, body: bytes = b"{}", headers: Mapping[str, str] = NO_HEADERS) -> Answer:
    """Make an answer that refuses the request."""
    return respond(status, body, {"Content-Type": "application/json", **headers})


async def begin(exchange: Exchange) -> None:
    """Send the head of a completion."""
    await exchange.head(200, STREAM)


async def say(exchange: Exchange, *pieces: str) -> None:
    """Send pieces of text, each as a chunk of the completion."""
    for piece in pieces:
        await exchange.data(chunk({"content": piece}))


async def finish(exchange: Exchange, reason: str = "stop") -> None:
    """Send the end of the completion."""
    await exchange.data(chunk({}, reason) + DONE)
    await exchange.end()


class ControlledModel:
    """A model that sends the pieces of its text at the test's command: an answer for a fake server.

    Attributes:
        left: set when the client has closed the connection.
    """

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[str](0)
        self.left = trio.Event()

    async def say(self, piece: str) -> None:
        """Send a piece; an empty one ends the text."""
        await self._send.send(piece)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        await begin(exchange)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, exchange)
            while piece := await self._receive.receive():
                await say(exchange, piece)
            nursery.cancel_scope.cancel()
        await finish(exchange)

    async def _watch(self, exchange: Exchange) -> None:
        await exchange.wait_for_close()
        self.left.set()
