"""``/events``: subscribe by Server-Sent Events or WebSocket, poll, and publish."""

from typing import Final

import msgspec
from quart import Blueprint, websocket
from quart_schema import document_headers, document_querystring, document_request, document_response

from ...auth import Caller
from ...errors import IdempotencyConflict, InvalidField
from ...events import Draft, EventSettings
from ...events.bodies import decode_draft, decode_drafts, draft_steps, drafts_steps
from ...idempotency import IDEMPOTENCY_KEY
from ...json import is_large
from ...runtime import Runtime
from ...transports import StreamRequest, open_stream
from ...transports.longpoll import poll
from ...turns import request_turns
from .. import schema
from ..callers import current_caller, restrict
from ..content_coding import GzipBody
from ..current import current_runtime
from ..hot.answer import JSON, JSON_HEADERS, HTTPAnswer, json_answer
from ..hot.request import HTTPRequest
from ..hot.view import hot
from ..idempotency import document_idempotency, parse_idempotency_key
from ..ndjson import LinePublisher
from ..problems import document_problems
from ..publishing import PublishingDoor
from ..requests import RequestLike, parse_on_limit, parse_seconds, parse_stream_request
from ..sockets import serve_socket

events = Blueprint("streamd_events", __name__)

_IDEMPOTENCY_KEY: Final = IDEMPOTENCY_KEY.lower()
_NDJSON_HEADERS: Final = ((b"content-type", schema.NDJSON.encode()),)


@events.get("/events")
@document_querystring(schema.SubscribeQuery)
@document_headers(schema.SubscribeHeaders)
@document_response(schema.EventStreamText, 200)
@document_problems(400, 401, 403, 404, 429, 503)
@hot
async def subscribe(request: HTTPRequest) -> StreamRequest:
    """Stream events as they are published, by Server-Sent Events; with an Upgrade, by WebSocket."""
    found = await _read_stream_request(request, request.runtime, await request.identify())
    parse_on_limit(request, request.runtime.broker)
    return found


@events.websocket("/events")
async def subscribe_websocket() -> None:
    """Subscribe over a WebSocket: JSON text frames both ways. The client may publish, too."""
    broker = current_runtime().broker
    caller = await current_caller()
    stream_request = await _read_stream_request(websocket, current_runtime(), caller)
    with open_stream(broker, "websocket", stream_request) as (connection, subscription):
        await serve_socket(
            broker, connection, subscription, subscription=subscription, reader=stream_request.reader
        )


@events.get("/events/poll")
@document_querystring(schema.PollQuery)
@document_headers(schema.SubscribeHeaders)
@document_response(schema.PollAnswerSchema, 200)
@document_problems(400, 401, 403, 404, 429, 503)
@hot
async def poll_events(request: HTTPRequest) -> HTTPAnswer:
    """Return the events after a cursor, or wait for the next ones: one answer per request."""
    runtime = request.runtime
    settings = runtime.broker.settings.poll
    caller = await request.identify()
    stream_request = await _read_stream_request(request, runtime, caller, cursor_parameter="after")
    wait = parse_seconds(
        request, "wait", default=settings.wait_seconds, least=0, most=settings.max_wait_seconds
    )
    assert wait is not None
    if request.method == "HEAD":  # its answer has no events, so it neither waits nor takes a slot
        return HTTPAnswer(200, JSON_HEADERS, None)
    answer = await request.until_disconnect(poll, runtime.broker, stream_request, wait, request.scope)
    return json_answer(msgspec.Raw(answer))


async def _read_stream_request(
    asked: RequestLike, runtime: Runtime, caller: Caller, *, cursor_parameter: str = "last_event_id"
) -> StreamRequest:
    """Parse a subscription, and check what its caller may read."""
    found = parse_stream_request(asked, runtime.broker, caller, cursor_parameter=cursor_parameter)
    return found if runtime.access.is_open else await restrict(found, runtime, caller)


@events.post("/events")
@document_request(schema.PublishSchema)
@document_response(schema.PublishedLine, 200)
@document_response(schema.PublishedSchema, 201)
@document_problems(400, 401, 403, 413, 415, 503, 504)
@document_idempotency
@hot
async def publish(request: HTTPRequest) -> HTTPAnswer:
    """Publish one event, an array of them (all or none), or NDJSON (answered line by line)."""
    runtime = request.runtime
    broker = runtime.broker
    limits = broker.settings.events
    key = None
    if _IDEMPOTENCY_KEY in request.headers:
        key = parse_idempotency_key(request.headers.getlist(_IDEMPOTENCY_KEY))
    caller = request.find_caller() or await request.identify()
    door = PublishingDoor(broker, runtime.access, caller, request.remote_addr or "")
    if request.check_media_type(JSON, schema.NDJSON) == schema.NDJSON:
        _reject_key(key)
        door.check_caller()
        parts = request.open_parts()
        if isinstance(parts, GzipBody):
            await parts.begin()
        publisher = LinePublisher(door, broker.settings.publish.max_errors)
        return HTTPAnswer(200, _NDJSON_HEADERS, publisher.answer(parts))
    body = request.take_body()
    if body is None:
        body = await request.read_body()
    if body.lstrip()[:1] == b"[":
        _reject_key(key)
        if is_large(body):
            drafts = await request_turns().run(drafts_steps(body, limits, max_events=limits.max_batch_events))
        else:
            drafts = decode_drafts(body, limits, max_events=limits.max_batch_events)
        request.note_limits(await door.take_limits(len(drafts), len(body)))
        receipts = await door.publish(drafts)
        return json_answer({"ids": [receipt.id for receipt in receipts]}, 201)
    draft = (
        await request_turns().run(draft_steps(body, limits)) if is_large(body) else decode_draft(body, limits)
    )
    if key is not None:
        draft = _with_key(draft, key, limits)
    if broker.limits.limits_publishing:
        request.note_limits(await door.take_limits(1, len(body)))
    try:
        [receipt] = await door.publish([draft])
    except IdempotencyConflict as conflict:
        if key is None:
            raise
        raise IdempotencyConflict(conflict.detail, field=IDEMPOTENCY_KEY) from conflict
    return json_answer({"id": receipt.id}, 201)


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
    return draft.with_key(key)
