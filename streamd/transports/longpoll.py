"""Long polling: one answer at a time, for networks that let no stream through (RFC 6202)."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import attrs
import msgspec
import trio

from ..broker import Broker
from ..connections import CloseReason, Connection
from ..events import Batch, Control, ControlName, Event, EventId, Frame, UnloggedEvent
from ..hub import Subscription, observe_delivery
from .asgi import Scope, bind_abort, find_transport
from .stream import Opening, StreamRequest, no_opening, open_stream


class PollSource(Protocol):
    """The current state of a stream, and the shape of its events."""

    @property
    def is_over(self) -> bool:
        """True once the stream has nothing more for this client."""

    def begin(self) -> Sequence[Frame]:
        """Return the current state for a client without a cursor, which is answered with it at once."""

    async def follow(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return received frames as the stream sends them. Cancelled, they are lost."""


OpenPollSource = Callable[[Connection, Subscription], AbstractContextManager[PollSource]]
"""Opens the source of one poll, for as long as its ``with`` block lasts."""


@attrs.frozen
class LogPollSource:
    """The events of the log, and before them the current state if there is one.

    Args:
        opening: makes the frames with the current state.
        has_cursor: the client has received the state, and resumes: it needs another only after a gap.
    """

    opening: Opening = no_opening
    has_cursor: bool = True

    @property
    def is_over(self) -> bool:
        return False

    def begin(self) -> Sequence[Frame]:
        return () if self.has_cursor else self.opening()

    async def follow(self, frames: Sequence[Frame]) -> list[Frame]:
        return [*(self.opening() if any(map(_is_gap, frames)) else ()), *frames]


def open_log(_connection: Connection, _subscription: Subscription) -> AbstractContextManager[PollSource]:
    """Open the source of a poll for events alone."""
    return nullcontext(LogPollSource())


async def poll(
    broker: Broker,
    request: StreamRequest,
    wait_seconds: float,
    scope: Scope,
    open_source: OpenPollSource = open_log,
) -> bytes:
    """Wait for events and return the JSON of one answer: ``{"events": [...], "next": id, "gap": null}``.

    It answers at once with the current state, or when there are events after the cursor, else with the first
    that come, else empty after ``wait_seconds``. ``next`` is the cursor for the next poll. ``gap`` tells
    which events before it were dropped. ``control`` has the messages for this client alone, if there are any;
    the last one is ``closing`` if the server or a program ended the wait, or the stream has ended.
    ``resume_secret`` is that of the client's next poll, see
    :meth:`~streamd.connections.Registry.resume_secret`. A poll gets no heartbeats, and none ends its wait.

    Args:
        broker: the parts every stream needs.
        request: the checked request.
        wait_seconds: the maximum wait (s).
        scope: of the request.
        open_source: opens the source of the frames.

    Raises:
        StreamdError: the client was rejected, or the current state cannot be read.
    """
    request = attrs.evolve(request, heartbeat_seconds=0.0, heartbeat_always=False)
    with open_stream(broker, "poll", request) as (connection, subscription):
        bind_abort(connection, find_transport(scope))
        with open_source(connection, subscription) as source:
            receiver = _Receiver(subscription, source)
            frames = receiver.begin()
            if not frames:
                with connection.stoppable():
                    frames = await receiver.receive(wait_seconds)
            # An event may have been queued just when the wait ended, and the cursor counts it as read; or a
            # message while a page of the log was being read.
            frames += await receiver.take(connection.send_queue.drain())
            kept = _limit_events(frames, broker.settings.poll.max_events)
            if source.is_over and len(kept) == len(frames):
                connection.close(CloseReason.ENDED)
        if connection.closing is not None:
            kept.append(connection.closing)
        batch = Batch(kept)
        secret = broker.connections.resume_secret(connection)
        answer = _encode(batch.frames, receiver.state, _next_cursor(batch, subscription), secret)
        connection.sent.add(batch, len(answer), trio.current_time())
        connection.end_reason = connection.end_reason or "answered"
    observe_delivery(broker.metrics, batch)
    return answer


class _Receiver:
    """Receives the frames of one poll.

    Args:
        subscription: of the poll.
        source: of its state.

    Attributes:
        state: the frames that come from the source, which are among the answer's events.
    """

    def __init__(self, subscription: Subscription, source: PollSource) -> None:
        self.state: list[Frame] = []
        self._subscription = subscription
        self._source = source

    def begin(self) -> list[Frame]:
        """Return the current state, if the client needs it."""
        frames = list(self._source.begin())
        self.state = [frame for frame in frames if isinstance(frame, UnloggedEvent)]
        return frames

    async def receive(self, wait_seconds: float) -> list[Frame]:
        """Return the frames after the cursor, or else the next that come; none on timeout or at the end."""
        frames = await self.take(await self._subscription.receive_ready())
        with trio.move_on_after(0 if frames else wait_seconds):
            while (
                not frames and not self._source.is_over and (received := await self._subscription.receive())
            ):
                frames = await self.take(received)
        return frames

    async def take(self, received: Sequence[Frame]) -> list[Frame]:
        """Return received frames as the stream sends them."""
        with trio.CancelScope(shield=True):  # the cursor counts them as read; it lasts for one read at most
            frames = await self._source.follow(_without_heartbeats(received))
        self.state += [f for f in frames if isinstance(f, UnloggedEvent) and f not in received]
        return frames


def _without_heartbeats(frames: Iterable[Frame]) -> list[Frame]:
    """Drop heartbeats: the hub, too, sends one, to wake a subscription that fell behind."""
    return [
        frame for frame in frames if not (isinstance(frame, Control) and frame.name == ControlName.HEARTBEAT)
    ]


def _is_gap(frame: Frame) -> bool:
    return isinstance(frame, Control) and frame.name == ControlName.GAP


def _limit_events(frames: Iterable[Frame], max_events: int) -> list[Frame]:
    """Return the frames without the events that are too many: those are in the log, for the next poll."""
    events = itertools.count(1)
    return [frame for frame in frames if not isinstance(frame, Event) or next(events) <= max_events]


def _next_cursor(batch: Batch, subscription: Subscription) -> EventId:
    """Return the last id of the answer; without events, the position read up to."""
    return batch.cursor or subscription.level_cursor() or subscription.cursor


def _encode(
    frames: Sequence[Frame], state: Sequence[Frame], cursor: EventId, resume_secret: str | None
) -> bytes:
    events: list[msgspec.Raw] = []
    control: list[msgspec.Raw] = []
    answer: dict[str, Any] = {"events": events, "next": cursor, "gap": None}
    for frame in frames:
        if _is_gap(frame):
            assert isinstance(frame, Control)
            answer["gap"] = frame.data
        elif isinstance(frame, Event) or frame in state:
            events.append(msgspec.Raw(frame.json))
        elif isinstance(frame, Control | UnloggedEvent):
            control.append(msgspec.Raw(frame.json))
    if control:
        answer["control"] = control
    if resume_secret is not None:
        answer["resume_secret"] = resume_secret
    return msgspec.json.encode(answer)
