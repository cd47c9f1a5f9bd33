"""``/events``: subscribe by Server-Sent Events or WebSocket, poll, and publish."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final

import attrs
import msgspec
from quart import Blueprint, request, websocket
from quart_schema import document_headers, document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...auth import Access, Caller
from ...broker import Broker
from ...characters import cut
from ...errors import (
    IdempotencyConflict,
    InvalidField,
    OutcomeUnknown,
    RequestError,
    StreamdError,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from ...events import Draft, EventSettings
from ...events.bodies import decode_draft, decode_drafts
from ...idempotency import IDEMPOTENCY_KEY
from ...limits import TakenLimit, caller_key
from ...log.port import Receipt
from ...transports import StreamRequest, open_stream
from ...transports.asgi import bind_abort
from ...transports.longpoll import poll
from ...transports.websocket import serve_websocket
from .. import schema
from ..callers import current_caller, restrict
from ..current import current_runtime
from ..idempotency import document_idempotency, idempotency_key
from ..json import JSON, json_response
from ..limits import note_limits
from ..problems import document_problems, problem_fields
from ..push_back import PushBackBody
from ..requests import parse_seconds, parse_stream_request, read_body, read_lines
from ..responses import EventStream

events = Blueprint("streamd_events", __name__)

_USERS: Final = "user:"  # before the names of users, which they may have chosen themselves
_TOKENS: Final = "token:"  # before the key and the id of a token without a user


@events.get("/events")
@document_querystring(schema.SubscribeQuery)
@document_headers(schema.SubscribeHeaders)
@document_response(schema.EventStreamText, 200)
@document_problems(400, 401, 403, 404, 429, 503)
async def subscribe() -> EventStream:
    """Stream events as they are published, by Server-Sent Events; with an Upgrade, by WebSocket."""
    return EventStream(await _read_request(request))


@events.websocket("/events")
async def subscribe_websocket() -> None:
    """Subscribe over a WebSocket: JSON text frames, and a client that can change its subscription."""
    broker = current_runtime().broker
    stream_request = await _read_request(websocket)
    with open_stream(broker, "websocket", stream_request) as (connection, subscription):
        bind_abort(connection, websocket.scope)
        await websocket.accept()
        code = await serve_websocket(
            broker,
            connection,
            subscription,
            websocket.scope,
            websocket.send,
            websocket.receive,
            stream_request.reader,
        )
        await websocket.close(code)


@events.get("/events/poll")
@document_querystring(schema.PollQuery)
@document_headers(schema.SubscribeHeaders)
@document_response(schema.PollAnswerSchema, 200)
@document_problems(400, 401, 403, 404, 429, 503)
async def poll_events() -> TrioResponse:
    """Return the events after a cursor, or wait for the next ones: one answer per request."""
    broker = current_runtime().broker
    settings = broker.settings.poll
    stream_request = await _read_request(request, cursor_parameter="after")
    wait = parse_seconds(
        request, "wait", default=settings.wait_seconds, least=0, most=settings.max_wait_seconds
    )
    assert wait is not None
    answer = await poll(broker, stream_request, wait, request.scope)
    return json_response(msgspec.Raw(answer))


@attrs.frozen
class PublishingDoor:
    """Publishes what one caller may publish.

    Args:
        broker: publishes.
        access: decides.
        caller: the caller, to whom its idempotency keys belong.
        limited_as: its key in the limits.
    """

    broker: Broker
    access: Access
    caller: Caller
    limited_as: str

    @property
    def limits(self) -> EventSettings:
        """The limits of events."""
        return self.broker.settings.events

    def check(self, draft: Draft) -> None:
        """Check that the caller may publish an event, also late in a long body.

        Raises:
            InvalidToken: its token has expired or was revoked since the request began.
            Unauthorized, ReservedTopic, Forbidden: see :meth:`.Access.check_publishing`.
        """
        self.access.check_again(self.caller)
        self.access.check_publishing(self.caller, draft.topics)

    async def take_limits(self, events: int, size: int) -> list[TakenLimit]:
        """Ask the caller's limits about a number of events, in a body of a size (bytes)."""
        return await self.broker.limits.take_published(self.limited_as, events, size)

    async def wait_for_limits(self, events: int, size: int) -> None:
        """Wait until the caller's limits allow a number of events, of a size (bytes).

        Raises:
            TooManyRequests: that would take minutes.
        """
        await self.broker.limits.wait_published(self.limited_as, events, size)

    async def publish(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Publish several events, all of them or none.

        Raises:
            Unauthorized, ReservedTopic, Forbidden: the caller may not publish one of them.
            StreamdError: see :meth:`.Hub.publish_drafts`.
        """
        for index, draft in enumerate(drafts):
            try:
                self.check(draft)
            except RequestError as error:
                if len(drafts) == 1:
                    raise
                raise type(error)(
                    f"event {index}: {error.detail}", field=f"[{index}].{error.field}"
                ) from error
        return await self.broker.hub.publish_drafts(drafts, publisher=self._publisher)

    @property
    def _publisher(self) -> str:
        """The owner of the caller's idempotency keys: never a part of the server, whatever its user is."""
        caller = self.caller
        if caller.user:
            return f"{_USERS}{caller.user}"
        return "" if self.access.is_open else f"{_TOKENS}{caller.key}:{caller.token_id}"


async def _read_request(asked: Any, *, cursor_parameter: str = "last_event_id") -> StreamRequest:
    """Parse the current request, identify its caller, and check what it may read."""
    runtime = current_runtime()
    caller = await current_caller()
    found = parse_stream_request(asked, runtime.broker, caller, cursor_parameter=cursor_parameter)
    return found if runtime.access.is_open else await restrict(found, runtime, caller)


@events.post("/events")
@document_request(schema.PublishSchema)
@document_response(schema.PublishedLine, 200)
@document_response(schema.PublishedSchema, 201)
@document_problems(400, 401, 403, 413, 415, 503, 504)
@document_idempotency
async def publish() -> TrioResponse:
    """Publish one event, an array of them (all or none), or NDJSON (answered line by line)."""
    broker = current_runtime().broker
    limits = broker.settings.events
    key = idempotency_key()
    caller = await current_caller()
    limited_as = caller_key(caller.user, request.remote_addr or "")
    door = PublishingDoor(broker, current_runtime().access, caller, limited_as)
    if request.mimetype == schema.NDJSON:
        _reject_key(key)
        if isinstance(request.body, PushBackBody) and request.http_version != "2":
            request.body.push_back()
        lines = _publish_lines(door, request.body)
        response = TrioResponse(lines, content_type=schema.NDJSON)
        response.timeout = None
        return response
    if request.mimetype != JSON:
        raise UnsupportedMediaType(
            f"Content-Type must be {JSON} or {schema.NDJSON} ({cut(request.mimetype) or 'none'} was sent)",
            field="Content-Type",
        )
    body = await read_body()
    if body.lstrip()[:1] == b"[":
        _reject_key(key)
        drafts = decode_drafts(body, limits, max_events=limits.max_batch_events)
        note_limits(await door.take_limits(len(drafts), len(body)))
        receipts = await door.publish(drafts)
        return json_response({"ids": [receipt.id for receipt in receipts]}, 201)
    draft = decode_draft(body, limits)
    if key is not None:
        draft = _with_key(draft, key, limits)
    note_limits(await door.take_limits(1, len(body)))
    try:
        [receipt] = await door.publish([draft])
    except IdempotencyConflict as conflict:
        if key is None:
            raise
        raise IdempotencyConflict(conflict.detail, field=IDEMPOTENCY_KEY) from conflict
    return json_response({"id": receipt.id}, 201)


def _reject_key(key: str | None) -> None:
    """Reject the header for several events: each of them has its own ``idempotency_key``.

    Raises:
        InvalidField: the request has the header.
    """
    if key is not None:
        raise InvalidField(
            f"{IDEMPOTENCY_KEY} is for one event; each event of an array or of NDJSON has its own"
            " 'idempotency_key'",
            field=IDEMPOTENCY_KEY,
        )


def _with_key(draft: Draft, key: str, limits: EventSettings) -> Draft:
    """Return the event with the key of the header, as if its body had it.

    Raises:
        InvalidField: the key is too long for an event, or the body has another one.
    """
    if len(key) > limits.max_idempotency_key_bytes:
        raise InvalidField(
            f"{IDEMPOTENCY_KEY} may have at most {limits.max_idempotency_key_bytes} bytes",
            field=IDEMPOTENCY_KEY,
        )
    if draft.idempotency_key not in (None, key):
        raise InvalidField(
            f"{IDEMPOTENCY_KEY} and the event's 'idempotency_key' must be the same", field=IDEMPOTENCY_KEY
        )
    return attrs.evolve(draft, idempotency_key=key)


async def _publish_lines(door: PublishingDoor, body: Any) -> AsyncIterator[bytes]:
    """Publish each line and yield its answer. Lines of one part of the body are published together.

    Above the caller's limits, they wait: no more of the body is read meanwhile, which pushes back.
    """
    number = 0
    busy: Unavailable | None = None  # once set, later lines are rejected too: a retry must not reorder them
    async with aclosing(read_lines(body, door.limits.max_line_bytes)) as parts:
        async for lines in parts:
            outcomes = [_read_line(line, door) for line in lines]
            if busy is not None:
                outcomes = [busy if isinstance(outcome, Draft) else outcome for outcome in outcomes]
            events = sum(isinstance(outcome, Draft) for outcome in outcomes)
            try:
                await door.wait_for_limits(events, sum(map(len, lines)) if events else 0)
                answers = await _publish_each(door, outcomes)
            except (Unavailable, OutcomeUnknown) as error:
                busy = error if isinstance(error, Unavailable) else _after_unknown()
                outcomes = [error if isinstance(outcome, Draft) else outcome for outcome in outcomes]
                answers = await _publish_each(door, outcomes)
            text = bytearray()
            for answer in answers:
                number += 1
                if answer is not None:
                    text += msgspec.json.encode({"line": number, **answer}) + b"\n"
            if text:
                yield bytes(text)


def _after_unknown() -> Unavailable:
    return Unavailable(
        "it is not known whether an earlier line was published: this one was not", retry_after_seconds=1
    )


def _read_line(line: bytes, door: PublishingDoor) -> Draft | StreamdError | None:
    if not line.strip():
        return None  # a blank line has a number but gets no answer
    limits = door.limits
    if len(line) > limits.max_line_bytes:
        return TooLarge(f"the line is longer than {limits.max_line_bytes} bytes", field="line")
    try:
        draft = decode_draft(line, limits, noun="the line")
        door.check(draft)
        return draft
    except StreamdError as error:
        return error


async def _publish_each(
    door: PublishingDoor, outcomes: list[Draft | StreamdError | None]
) -> list[dict[str, Any] | None]:
    """Publish the drafts among the outcomes together; one by one after an idempotency conflict.

    Raises:
        Unavailable: none of the drafts was published.
        OutcomeUnknown: all of them were, or none.
    """
    drafts = [outcome for outcome in outcomes if isinstance(outcome, Draft)]
    results: list[dict[str, Any]] = []
    try:
        if drafts:  # a log that takes nothing refuses an empty list as well
            results = [{"id": receipt.id} for receipt in await door.publish(drafts)]
    except IdempotencyConflict:
        for draft in drafts:
            try:
                [receipt] = await door.publish([draft])
                results.append({"id": receipt.id})
            except StreamdError as error:
                results.append({"error": problem_fields(error)})
    published = iter(results)
    return [
        next(published)
        if isinstance(outcome, Draft)
        else None
        if outcome is None
        else {"error": problem_fields(outcome)}
        for outcome in outcomes
    ]
