"""HTTP on Quart-Trio: streamd's API, and what services build theirs from (layer 5).

=================  =========================================================================
``responses``      :class:`EventStream`, which a view returns to stream
``stream_routes``  routes for such streams, over Server-Sent Events, WebSocket and long polling
``task_stream``    the stream of one task as such a response
``task_routes``    routes for the tasks of one kind: status, events, result, cancel
``json``           JSON responses
``conditions``     ``If-Match`` and ``If-None-Match``
``urls``           URLs below the prefix that a proxy adds
``content_coding`` compressed bodies
``requests``       query parameters, headers and bodies, checked
``publishing``     the checks of rights and limits before events are published
``problems``       errors as ``application/problem+json``
``rejections``     streams that cannot be served now: a problem, or a stream that ends
``idempotency``    the ``Idempotency-Key`` header
``schema``         the structs that ``/openapi.json`` shows
``openapi``        the document itself
``routes``         ``/events``, ``/tasks``, ``/connections``, health and metrics, the page
``hot``            the most frequent routes past the web framework
``limits``         limits of requests, by the class of their route
``stream_cursor``  the cursor of a request for a stream
``sockets``        what the clients of WebSockets may send
``push_back``      bodies that let a client wait which is ahead
``websockets``     WebSocket connections, whose binary messages may be empty
``observe``        metrics and log lines of requests
``guard``          checks of every request, and headers of every answer
``targets``        the path and query of a request must be UTF-8
``hosts``          the names under which a server may be addressed
``origins``        access of pages of other origins
``loopback``       access to operations that are for callers on this machine
``callers``        the caller of a request, and the checks that views make of it
``current``        the current request, and the runtime of its application
``assets``         the files of the page and of the browser client
=================  =========================================================================

Imports transports and the layers below; no service.
"""

from .callers import demand_merchant, demand_publishing, demand_reading, demand_tasks, demand_token
from .conditions import conditional
from .current import request_or_upgrade
from .idempotency import document_idempotency, idempotency_key
from .json import JSON, json_response
from .problems import document_problems
from .requests import read_body, read_json
from .responses import EventStream, EventStreamHTTPConnection
from .schema import (
    AnyJson,
    EventStreamText,
    FollowQuery,
    MediaTypes,
    Nothing,
    OnLimit,
    ResumeHeaders,
    SnapshotSchema,
)
from .stream_routes import stream_route
from .task_routes import CancelRoute, EventsRoute, ResultRoute, StatusRoute, TaskRoutes, task_routes
from .task_stream import task_headers, task_stream
from .urls import public_url

__all__ = [
    "JSON",
    "AnyJson",
    "CancelRoute",
    "EventStream",
    "EventStreamHTTPConnection",
    "EventStreamText",
    "EventsRoute",
    "FollowQuery",
    "MediaTypes",
    "Nothing",
    "OnLimit",
    "ResultRoute",
    "ResumeHeaders",
    "SnapshotSchema",
    "StatusRoute",
    "TaskRoutes",
    "conditional",
    "demand_merchant",
    "demand_publishing",
    "demand_reading",
    "demand_tasks",
    "demand_token",
    "document_idempotency",
    "document_problems",
    "idempotency_key",
    "json_response",
    "public_url",
    "read_body",
    "read_json",
    "request_or_upgrade",
    "stream_route",
    "task_headers",
    "task_routes",
    "task_stream",
]
