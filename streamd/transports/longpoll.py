"""Long polling: one answer at a time, for networks that let no stream through (RFC 6202)."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import msgspec
import trio

from ..broker import Broker
from ..events import Batch, Control, ControlName, Event, EventId, Frame, UnloggedEvent
from ..hub import Subscription, observe_delivery
from .asgi import Scope, bind_abort
from .stream import StreamRequest, open_stream


async def poll(broker: Broker, request: StreamRequest, wait_seconds: float, scope: Scope) -> bytes:
    """Wait for events and return the JSON of one answer: ``{"events": [...], "next": id, "gap": null}``.

    It answers at once when there are events after the cursor, else with the first that come, else
    empty after ``wait_seconds``. ``next`` is the cursor for the next poll. ``gap`` tells which events
    before it were dropped. ``control`` has the messages for this client alone, if there are any; the last
    one is ``closing`` if the server or a program ended the wait. ``resume_secret`` is that of the client's
    next poll, see :meth:`~streamd.connections.Registry.resume_secret`. A poll gets no heartbeats, and none
    ends its wait.

    Raises:
        StreamdError: the client was rejected.
    """
    frames: list[Frame] = []
    request = attrs.evolve(request, heartbeat_seconds=0.0)
    with open_stream(broker, "poll", request) as (connection, subscription):
        bind_abort(connection, scope)
        with connection.stream_scope:
            frames = await _receive(subscription, wait_seconds)
        # An event may have been queued just when the wait ended, and the cursor counts it as read; or a
        # message while a page of the log was being read.
        frames += _without_heartbeats(connection.send_queue.drain())
        if connection.closing is not None:
            frames.append(connection.closing)
        batch = Batch(_limit_events(frames, broker.settings.poll.max_events))
        secret = broker.connections.resume_secret(connection)
        answer = _encode(batch.frames, _next_cursor(batch, subscription), secret)
        connection.sent.add(batch, len(answer), trio.current_time())
        connection.end_reason = connection.end_reason or "answered"
    observe_delivery(broker.metrics, batch)
    return answer


async def _receive(subscription: Subscription, wait_seconds: float) -> list[Frame]:
    """Return the frames after the cursor, or else the next that come; none on timeout or at the end."""
    frames = _without_heartbeats(await subscription.receive_ready())
    with trio.move_on_after(0 if frames else wait_seconds):
        while not frames and (received := await subscription.receive()):
            frames = _without_heartbeats(received)
    return frames


def _without_heartbeats(frames: Iterable[Frame]) -> list[Frame]:
    """Drop heartbeats: the hub, too, sends one, to wake a subscription that fell behind."""
    return [
        frame for frame in frames if not (isinstance(frame, Control) and frame.name == ControlName.HEARTBEAT)
    ]


def _limit_events(frames: Iterable[Frame], max_events: int) -> list[Frame]:
    """Return the frames without the events that are too many: those are in the log, for the next poll."""
    events = itertools.count(1)
    return [frame for frame in frames if not isinstance(frame, Event) or next(events) <= max_events]


def _next_cursor(batch: Batch, subscription: Subscription) -> EventId:
    """Return the last id of the answer; without events, the position read up to."""
    return batch.cursor or subscription.level_cursor() or subscription.cursor


def _encode(frames: Sequence[Frame], cursor: EventId, resume_secret: str | None) -> bytes:
    events = [msgspec.Raw(frame.json) for frame in frames if isinstance(frame, Event)]
    answer: dict[str, Any] = {"events": events, "next": cursor, "gap": None}
    control = []
    for frame in frames:
        if isinstance(frame, Control) and frame.name == ControlName.GAP:
            answer["gap"] = frame.data
        elif isinstance(frame, Control | UnloggedEvent):
            control.append(msgspec.Raw(frame.json))
    if control:
        answer["control"] = control
    if resume_secret is not None:
        answer["resume_secret"] = resume_secret
    return msgspec.json.encode(answer)
