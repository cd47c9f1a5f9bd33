"""JSON messages of event streams, read through :mod:`streamd.testing`."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import attrs
import msgspec

from streamd.events.sse import ServerSentEvent
from streamd.testing import StreamReader, open_stream

STANDARD_FIELDS: Final = {
    "taskId",
    "version",
    "status",
    "step",
    "step_name",
    "steps",
    "progress",
    "message",
    "eta_seconds",
    "timestamp",
}
"""The fields of every message of a task; a kind may add others."""


@attrs.frozen
class StreamMessage:
    """One published event of a stream, whose data is a JSON object."""

    id: str
    type: str
    data: dict[str, Any]


def data_of(event: ServerSentEvent) -> dict[str, Any]:
    """Decode the data of an event."""
    return msgspec.json.decode(event.data, type=dict[str, Any])


def parse(event: ServerSentEvent) -> StreamMessage:
    """Decode an event."""
    return StreamMessage(event.last_event_id, event.type, data_of(event))


async def messages(reader: StreamReader) -> AsyncIterator[StreamMessage]:
    """Yield the messages of a stream up to its end."""
    while (event := await reader.next_event()) is not None:
        yield parse(event)


async def next_message(reader: StreamReader) -> StreamMessage:
    """Return the next message.

    Raises:
        EOFError: the stream ended before.
    """
    [event] = await reader.take(1)
    return parse(event)


async def read_until(reader: StreamReader, holds: Callable[[StreamMessage], bool]) -> StreamMessage:
    """Read up to the next message that satisfies a condition, and return it.

    Raises:
        EOFError: the stream ended before.
    """
    while not holds(message := await next_message(reader)):
        pass
    return message


async def read_to_end(url: str, path: str, *, last_event_id: str | None = None) -> list[StreamMessage]:
    """Open the stream at a path of a server, and read it to its end."""
    async with open_stream(url, path=path, last_event_id=last_event_id) as reader:
        return [message async for message in messages(reader)]
