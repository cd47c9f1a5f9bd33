"""``/connections``: the open connections of all nodes, and operations on them, for administrators.

Without keys, everybody may read, also the addresses and topics of other clients, and the operations are for
callers on this machine, see ``loopback``.
"""

from typing import Any, Final

import msgspec
from quart import Blueprint, request
from quart_schema import document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...connections import ConnectionFilter
from ...errors import InvalidField
from ...events import Pattern, UnloggedEvent, validate_topic
from ...events.data import decode_base64, read_data
from ...json import EncodedJson
from ...runtime import Runtime
from .. import schema
from ..callers import demand_admin
from ..current import current_runtime
from ..json import json_response
from ..loopback import check_control
from ..problems import document_problems
from ..requests import parse_limit, read_json

_LISTED_MAX: Final = 1000  # connections in one answer: a few milliseconds without a checkpoint

connections = Blueprint("streamd_connections", __name__)


class ClientMessageBody(msgspec.Struct, forbid_unknown_fields=True):
    """A message to a client, in JSON."""

    data: msgspec.Raw
    encoding: schema.Encoding | None = None
    type: str | None = None

    def encode(self, runtime: Runtime) -> UnloggedEvent:
        """Check the message, and build its frame.

        Raises:
            InvalidField, TooLarge: it is invalid, or larger than an event may be.
        """
        data: Any = EncodedJson(msgspec.json.format(bytes(self.data), indent=-1))  # it was checked
        if self.encoding is not None:
            text, _ = read_data(bytes(self.data), marker=self.encoding)
            data = decode_base64(text)
        return UnloggedEvent.create(data, limits=runtime.settings.events, type=self.type)


class FilterBody(msgspec.Struct, forbid_unknown_fields=True):
    """The conditions of a broadcast, in JSON."""

    transport: schema.Transport | msgspec.UnsetType = msgspec.UNSET
    topic: str | msgspec.UnsetType = msgspec.UNSET
    pattern: str | msgspec.UnsetType = msgspec.UNSET
    user: str | msgspec.UnsetType = msgspec.UNSET
    client_id: str | msgspec.UnsetType = msgspec.UNSET

    def parse(self, runtime: Runtime) -> ConnectionFilter:
        """Check the conditions, and build the filter.

        Raises:
            InvalidField: the topic or the pattern is invalid.
        """
        given: dict[str, Any] = {
            name: value for name, value in msgspec.structs.asdict(self).items() if value is not msgspec.UNSET
        }
        settings = runtime.settings
        if "topic" in given:
            validate_topic(given["topic"], settings.events.max_topic_bytes, field="filter.topic")
        if "pattern" in given:
            most = settings.connections.max_pattern_bytes
            text = validate_topic(given["pattern"], most, field="filter.pattern")
            given["pattern"] = _parse_pattern(text)
        return ConnectionFilter(**given)


class BroadcastBody(ClientMessageBody):
    """A message to all connections that a filter selects, in JSON."""

    filter: FilterBody = msgspec.field(default_factory=FilterBody)


@connections.get("/connections")
@document_querystring(schema.ConnectionsQuery)
@document_response(schema.Connections, 200)
@document_problems(400, 401, 403, 503)
async def list_connections() -> TrioResponse:
    """Get totals and the open connections, oldest first, or only the one with this ``id``."""
    await demand_admin()
    limit = parse_limit(request, _LISTED_MAX)
    listing = await current_runtime().census.list(limit, request.args.get("id"))
    return json_response({**listing.totals.statistics(), "connections": listing.connections})


@connections.get("/connections/<id>")
@document_querystring(schema.UserQuery)
@document_response(schema.ConnectionStatus, 200)
@document_problems(401, 403, 404, 503)
async def show_connection(id: str) -> TrioResponse:
    """Get the state of a connection: the one with this id, or the newest with this client id."""
    await demand_admin()
    return json_response(await current_runtime().census.status(id, user=_user()))


@connections.delete("/connections/<id>")
@document_querystring(schema.UserQuery)
@document_response(schema.Nothing, 204)
@document_problems(401, 403, 404, 503)
async def close_connection(id: str) -> TrioResponse:
    """Close a connection, whose client is told `closing` with the reason `closed`, and may come back."""
    runtime = await _admit()
    await runtime.census.close(id, user=_user())
    return TrioResponse(b"", status=204)


@connections.post("/connections/<id>/send")
@document_querystring(schema.UserQuery)
@document_request(ClientMessageBody)
@document_response(schema.SentSchema, 202)
@document_problems(400, 401, 403, 404, 409, 413, 415, 503, 504)
async def send_to_connection(id: str) -> TrioResponse:
    """Send a message to one client, past the log; it is queued behind the events before it."""
    runtime = await _admit()
    body = await read_json(ClientMessageBody, max_bytes=runtime.settings.events.max_line_bytes, envelope=1)
    message = body.encode(runtime)
    own_id = await runtime.census.send(id, message, user=_user())
    return json_response({"id": own_id}, 202)


@connections.post("/connections/broadcast")
@document_request(BroadcastBody)
@document_response(schema.BroadcastSchema, 200)
@document_problems(400, 401, 403, 413, 415, 503)
async def broadcast() -> TrioResponse:
    """Send a message to every connection that the filter selects, or to all without one."""
    runtime = await _admit()
    body = await read_json(BroadcastBody, max_bytes=runtime.settings.events.max_line_bytes, envelope=1)
    message, where = body.encode(runtime), body.filter.parse(runtime)
    outcome = await runtime.census.broadcast(message, where)
    return json_response({"sent": outcome.sent, "full": outcome.full})


async def _admit() -> Runtime:
    """Return the runtime, after the check that the caller may operate on connections.

    Raises:
        Unauthorized, Forbidden: it may not.
    """
    runtime = current_runtime()
    await demand_admin()
    if runtime.access.is_open:
        check_control(request, enabled=runtime.settings.connections.control)
    return runtime


def _parse_pattern(text: str) -> Pattern:
    try:
        return Pattern(text)
    except InvalidField as error:
        raise InvalidField(error.detail, field="filter.pattern") from error


def _user() -> str:
    return str(request.args.get("user", ""))
