"""Routes for the tasks of one kind: status, events, result and cancel.

::

    task_routes(blueprint, "report", "/reports/<report_id>", noun="report")

    GET  /reports/<report_id>           the report as it is now
    GET  /reports/<report_id>/events    its stream, and /events/poll; see stream_routes
    GET  /reports/<report_id>/result    its result; 409 until it is complete
    POST /reports/<report_id>/cancel    end it
"""

import math
import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

import attrs
from msgspec import Struct
from quart import Blueprint
from quart_schema import document_headers, document_querystring, document_request, document_response
from quart_trio.wrappers import TrioResponse

from ..characters import quoted
from ..connections import Group
from ..errors import Gone, NotFound
from ..tasks import Status, Task, task_fields
from ..transports.sse import EVENT_STREAM, HEADERS
from .callers import demand_token, find_task
from .conditions import Conditions, conditional, document_conditions
from .current import current_runtime
from .json import json_response
from .problems import document_problems
from .requests import read_reason
from .schema import (
    AnyJson,
    CancelSchema,
    EventStreamText,
    FollowQuery,
    Nothing,
    ResumeHeaders,
    TaskOfServiceSchema,
)
from .stream_routes import stream_route
from .task_stream import task_headers, task_stream
from .urls import public_url

Answer = Callable[[Task], Awaitable[Any]]
"""Builds the body that describes a task: a JSON value or a msgspec struct."""

_PARAMETER: Final = re.compile(r"<(\w+)>")


@attrs.frozen
class StatusRoute:
    """``GET``: the task as it is now.

    Args:
        path: below the prefix.
        name: the view's name: its endpoint, and the end of its OpenAPI operation id.
        model: the struct that OpenAPI shows.
        answer: builds the body; None for that of ``GET /tasks/<id>``, with the URLs of these routes.
        headers: True to send ``Task-Status``, ``Task-Progress`` and ``ETag``.
        retry_after_seconds: poll interval to suggest with ``Retry-After`` until the task ends (s); None
            for no such header.
    """

    path: str = ""
    name: str = "status"
    model: type[Struct] = TaskOfServiceSchema
    answer: Answer | None = None
    headers: bool = True
    retry_after_seconds: float | None = None


@attrs.frozen
class EventsRoute:
    """``GET``: the task's stream, see :func:`~streamd.http.task_stream`, over all transports.

    Args:
        path: below the prefix.
        name: the view's name: its endpoint, and the end of its OpenAPI operation id.
        group: connections that share limits and statistics with these streams.
        heartbeat_seconds: interval of heartbeats on a quiet stream (s); None for
            ``connections.heartbeat_seconds``.
        headers: True to answer HEAD from the task, with ``Task-Status``, ``Task-Progress`` and ``ETag``;
            False to answer it as the stream, which needs a slot.
        content_type: the ``Content-Type``, as for :class:`~streamd.http.EventStream`.
    """

    path: str = "/events"
    name: str = "events"
    group: Group | None = None
    heartbeat_seconds: float | None = None
    headers: bool = True
    content_type: str = EVENT_STREAM


@attrs.frozen
class ResultRoute:
    """``GET``: the task's result; 409 with ``Retry-After`` until there is one.

    Args:
        path: below the prefix.
        name: the view's name: its endpoint, and the end of its OpenAPI operation id.
        model: the struct that OpenAPI shows.
    """

    path: str = "/result"
    name: str = "result"
    model: type[Struct] = AnyJson


@attrs.frozen
class CancelRoute:
    """``POST``: end the task; 409 if it has ended.

    The body may have the caller's reason, ``{"message": "..."}``, which becomes the task's last message.

    Args:
        path: below the prefix.
        name: the view's name: its endpoint, and the end of its OpenAPI operation id.
        model: the struct that OpenAPI shows.
        answer: builds the body; None for that of ``GET /tasks/<id>``, with the URLs of these routes.
        headers: True to send ``Task-Status``, ``Task-Progress`` and ``ETag``.
        message: the last message of a task that is cancelled without a reason; blank for that of its kind.
    """

    path: str = "/cancel"
    name: str = "cancel"
    model: type[Struct] = TaskOfServiceSchema
    answer: Answer | None = None
    headers: bool = True
    message: str = ""


_Route = StatusRoute | EventsRoute | ResultRoute | CancelRoute
_View = Callable[[str], Awaitable[TrioResponse]]

_STATUS: Final = StatusRoute()
_EVENTS: Final = EventsRoute()
_RESULT: Final = ResultRoute()
_CANCEL: Final = CancelRoute()


def task_routes(
    blueprint: Blueprint,
    kind: str,
    prefix: str,
    *,
    noun: str = "task",
    status: StatusRoute | None = _STATUS,
    events: EventsRoute | None = _EVENTS,
    result: ResultRoute | None = _RESULT,
    cancel: CancelRoute | None = _CANCEL,
) -> "TaskRoutes":
    """Add the routes for tasks of one kind to a blueprint.

    A task of another kind is answered 404, a deleted one 410.

    Args:
        blueprint: the service's routes. Its ``url_prefix`` is part of the URLs that the result builds.
        kind: the name of the kind.
        prefix: the beginning of the paths, such as ``/reports/<report_id>``. Prefix and path together
            contain the task's id as their one parameter. Its name is the ``field`` of errors about the id.
        noun: the word for a task of this kind in errors and in ``/openapi.json``.
        status: the route for the current state; None to leave it out, as for those below.
        events: the route for the stream.
        result: the route for the result.
        cancel: the route that ends the task.

    Returns:
        The URLs of these routes, and the answer for a new task.

    Raises:
        ValueError: a path does not contain exactly one parameter.
    """
    routes = TaskRoutes(blueprint, kind, prefix, noun, status, events, result, cancel)
    if status is not None:
        routes.add(_status_view(status, routes), status, "GET", f"Return the {noun} as it is now.")
    if events is not None:
        routes.add_stream(events)
    if result is not None:
        summary = f"Return the result of the {noun}; 409 with Retry-After until it has ended."
        routes.add(_result_view(result, routes), result, "GET", summary)
    if cancel is not None:
        routes.add(_cancel_view(cancel, routes), cancel, "POST", f"Cancel the {noun}; 409 if it has ended.")
    return routes


@attrs.frozen
class TaskRoutes:
    """The routes that :func:`task_routes` added."""

    _blueprint: Blueprint
    kind: str
    _prefix: str
    _noun: str
    _status: StatusRoute | None
    _events: EventsRoute | None
    _result: ResultRoute | None
    _cancel: CancelRoute | None

    def urls(self, task_id: str) -> dict[str, str]:
        """Build ``statusUrl``, ``eventsUrl``, ``resultUrl`` and ``cancelUrl``, without routes left out.

        They are those of :func:`~streamd.http.public_url`, for the client of the current request.
        """
        routes = {
            "statusUrl": self._status,
            "eventsUrl": self._events,
            "resultUrl": self._result,
            "cancelUrl": self._cancel,
        }
        prefix = public_url((self._blueprint.url_prefix or "") + self._prefix)
        return {
            name: _PARAMETER.sub(task_id, prefix + route.path)
            for name, route in routes.items()
            if route is not None
        }

    async def accepted(self, task: Task) -> TrioResponse:
        """Build the response to the request that created a task: 202, with the URL of its status."""
        urls = self.urls(task.id)
        headers = task_headers(task)
        if "statusUrl" in urls:
            headers["Location"] = urls["statusUrl"]
        answer = self._status.answer if self._status is not None else None
        return json_response(await self.describe(task, answer), 202, headers)

    async def describe(self, task: Task, answer: Answer | None = None) -> Any:
        """Build the body that describes a task, by default that of ``GET /tasks/<id>`` with its URLs here."""
        if answer is not None:
            return await answer(task)
        return task_fields(task) | {"cancelled": task.status is Status.CANCELLED} | self.urls(task.id)

    def add(self, view: _View, route: _Route, method: str, summary: str) -> None:
        """Add one view, which is called with the task's id.

        Raises:
            ValueError: the path does not contain exactly one parameter.
        """
        named = self._name(view, route, summary)
        self._blueprint.add_url_rule(self._prefix + route.path, route.name, named, methods=[method])

    def add_stream(self, route: EventsRoute) -> None:
        """Add the views of the stream.

        Raises:
            ValueError: the path does not contain exactly one parameter.
        """
        summary = f"Stream the {self._noun}: its current state, then each change, until its end."
        stream = self._name(_events_view(route, self), route, summary)
        head = self._name(_head_view(route, self), route, summary) if route.headers else None
        stream_route(self._blueprint, self._prefix + route.path, endpoint=route.name, head=head)(stream)

    def _name(self, view: _View, route: _Route, summary: str) -> Callable[..., Awaitable[TrioResponse]]:
        """Make a view that is called with the parameter of its path, and whose errors name that."""
        rule = self._prefix + route.path
        if len(_PARAMETER.findall(rule)) != 1:
            raise ValueError(f"{rule!r} must contain the task's id as its one parameter, such as <task_id>")

        @wraps(view)
        async def with_id(**path: str) -> TrioResponse:
            task_id = path[parameter]
            try:
                return await view(task_id)
            except (NotFound, Gone) as error:
                if error.field != "id":
                    raise
                named = f"{self._noun} {quoted(task_id)}"
                gone = isinstance(error, Gone)
                detail = f"{named} is not kept any more" if gone else f"there is no {named}"
                raise type(error)(detail, field=parameter) from error

        [parameter] = _PARAMETER.findall(rule)
        with_id.__doc__ = summary
        with_id.__name__ = route.name
        with_id.__module__ = self._blueprint.import_name  # of which OpenAPI's operation id is made
        return with_id


def _status_view(route: StatusRoute, routes: TaskRoutes) -> _View:
    @document_response(route.model, 200)
    @document_problems(401, 404, 410, 503)
    async def status(task_id: str) -> TrioResponse:
        task = await find_task(task_id, kind=routes.kind)
        headers = task_headers(task) if route.headers else {}
        if route.retry_after_seconds is not None and not task.status.ended:
            headers["Retry-After"] = str(math.ceil(route.retry_after_seconds))
        response = json_response(await routes.describe(task, route.answer), headers=headers)
        return conditional(response) if route.headers else response

    return document_conditions(document_response(Nothing, 304)(status)) if route.headers else status


def _events_view(route: EventsRoute, routes: TaskRoutes) -> _View:
    @document_querystring(FollowQuery)
    @document_headers(ResumeHeaders)
    @document_response(EventStreamText, 200)
    @document_response(Nothing, 204)
    @document_problems(400, 401, 404, 410, 429, 503)
    async def events(task_id: str) -> TrioResponse:
        return await task_stream(
            task_id,
            kind=routes.kind,
            group=route.group,
            heartbeat_seconds=route.heartbeat_seconds,
            content_type=route.content_type,
        )

    return events


def _head_view(route: EventsRoute, routes: TaskRoutes) -> _View:
    async def head(task_id: str) -> TrioResponse:
        task = await find_task(task_id, kind=routes.kind)
        described = {**HEADERS, "Content-Type": route.content_type, **task_headers(task)}
        response = TrioResponse(b"", headers=described)
        del response.headers["Content-Length"]  # the stream has none
        return conditional(response)

    return head


def _result_view(route: ResultRoute, routes: TaskRoutes) -> _View:
    @document_response(route.model, 200)
    @document_problems(401, 404, 409, 410, 503)
    async def result(task_id: str) -> TrioResponse:
        await find_task(task_id, kind=routes.kind)
        return json_response(await current_runtime().tasks.result(task_id, kind=routes.kind))

    return result


def _cancel_view(route: CancelRoute, routes: TaskRoutes) -> _View:
    @document_request(CancelSchema)
    @document_response(route.model, 200)
    @document_problems(400, 401, 404, 409, 410, 413, 415, 503, 504)
    async def cancel(task_id: str) -> TrioResponse:
        await demand_token()
        reason = await read_reason()
        conditions = Conditions.of_request() if route.headers else Conditions()
        await find_task(task_id, kind=routes.kind)
        task = await current_runtime().tasks.cancel(
            task_id,
            message=reason if reason.strip() else route.message,
            check=conditions.check_task,
        )
        headers = task_headers(task) if route.headers else {}
        return json_response(await routes.describe(task, route.answer), headers=headers)

    return document_conditions(cancel) if route.headers else cancel
