"""Long-poll: one answer at a time, for networks that let nothing else through (RFC 6202)."""

from collections.abc import Iterable
from typing import Any

import attrs
import msgspec
import trio

from ..broker import Broker
from ..events import Batch, Control, ControlName, Event, EventId, Frame
from ..hub import Subscription, record_delivery
from .asgi import Scope, let_abort
from .stream import StreamRequest, open_stream


async def poll(broker: Broker, request: StreamRequest, wait_seconds: float, scope: Scope) -> bytes:
    """The JSON of one answer: ``{"events": [...], "next": id, "gap": null}``.

    At once when there is something after the cursor, else as soon as there is, else empty after
    ``wait_seconds``. ``next`` is the cursor for the next poll; ``gap`` says what was lost before it.
    Messages addressed to this client alone are under ``control``, when there are any. Heartbeats are of no
    use to a poll: none are sent to it, and none ends its wait.

    Raises:
        StreamdError: the client was refused.
    """
    frames: list[Frame] = []
    request = attrs.evolve(request, heartbeat_seconds=0.0)
    with open_stream(broker, "poll", request) as (connection, subscription):
        let_abort(connection, scope)
        with connection.pumping:
            frames = await _receive(subscription, wait_seconds)
        # An event may have come in the moment the wait ended; it counts as read, so it goes along.
        frames = (frames or _without_heartbeats(connection.outbox.drain()))[: broker.settings.poll.max_events]
        batch = Batch(frames)
        answer = _encode(frames, _next_cursor(batch, subscription))
        connection.sent.add(batch, len(answer), trio.current_time())
    record_delivery(broker.metrics, batch)
    return answer


async def _receive(subscription: Subscription, wait_seconds: float) -> list[Frame]:
    """What there is after the cursor, else what comes first; empty if nothing does, or the stream ends."""
    frames = _without_heartbeats(await subscription.receive_ready())
    with trio.move_on_after(0 if frames else wait_seconds):
        while not frames and (received := await subscription.receive()):
            frames = _without_heartbeats(received)
    return frames


def _without_heartbeats(frames: Iterable[Frame]) -> list[Frame]:
    """The frames that say something: the hub, too, has a heartbeat to wake its subscriptions with."""
    return [
        frame for frame in frames if not (isinstance(frame, Control) and frame.name == ControlName.HEARTBEAT)
    ]


def _next_cursor(batch: Batch, subscription: Subscription) -> EventId:
    """The last id of the answer; without events, the place read up to."""
    return batch.cursor or subscription.level_cursor() or subscription.cursor


def _encode(frames: list[Frame], cursor: EventId) -> bytes:
    events = [msgspec.Raw(frame.json) for frame in frames if isinstance(frame, Event)]
    answer: dict[str, Any] = {"events": events, "next": cursor, "gap": None}
    control = []
    for frame in frames:
        if isinstance(frame, Control) and frame.name == ControlName.GAP:
            answer["gap"] = frame.data
        elif isinstance(frame, Control):
            control.append(msgspec.Raw(frame.json))
    if control:
        answer["control"] = control
    return msgspec.json.encode(answer)
