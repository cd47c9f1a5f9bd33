"""The caller of a request: its credentials, and the checks that views make of it.

A caller is identified when a view first asks for it, and once: a ticket is spent by that. The credentials are
looked for in this order (RFC 6750 section 2, and tickets for what a browser cannot give a header):

1. ``Authorization: Bearer``,
2. the query parameter ``ticket``, for a safe method or a WebSocket,
3. the cookie. A browser sends it with requests of foreign pages, too, so it counts for an unsafe method or a
   WebSocket only if the page is of this origin, or of one that ``server.cors_origins`` names.
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

import attrs
from quart import current_app

from ..auth import EVERYBODY, Access, Caller, Credentials, ReadingRights, sees_all_tasks
from ..auth.reading import tasks_of
from ..errors import Forbidden, Gone, InvalidField, InvalidToken, NotFound
from ..events import Selectors
from ..runtime import Runtime
from ..tasks import Task, Tasks, topic_of
from ..transports import StreamRequest
from ..transports.asgi import Scope
from .current import current_runtime, request_or_upgrade
from .origins import CORS_ORIGINS, SAFE_METHODS, is_own_origin

TICKET: Final = "ticket"
AUTHORIZATION: Final = "Authorization"
_CALLER: Final = "streamd.caller"
"""The key of the caller in an ASGI scope, once it is known."""
_SCHEME: Final = "bearer"


async def current_caller() -> Caller:
    """Return the caller of the current request, or of the current WebSocket's upgrade.

    Raises:
        InvalidToken, InvalidField: its credentials cannot be used.
        Forbidden: it has only a cookie, and a foreign page sent it, or only a ticket, for an unsafe method.
        Unavailable: its token cannot be verified now.
    """
    access = current_runtime().access
    return await identify_caller(access, request_or_upgrade().scope, current_app.config.get(CORS_ORIGINS, ()))


async def identify_caller(access: Access, scope: Any, origins: Any = ()) -> Caller:
    """Return the caller that sends a request, see :func:`current_caller`.

    Args:
        access: identifies it.
        scope: of the request, in which the caller is kept.
        origins: those whose pages may use the API.
    """
    known = find_caller(access, scope)
    if known is None:
        known = await access.identify(_read_credentials(scope, access.settings.cookie, origins))
        scope[_CALLER] = known
    return known


def find_caller(access: Access, scope: Any) -> Caller | None:
    """Return the caller of a request if that is known already, or anybody; otherwise None."""
    known: Caller | None = scope.get(_CALLER)
    if known is None and access.is_open:
        scope[_CALLER] = known = EVERYBODY
    return known


def known_caller(scope: Scope) -> Caller | None:
    """Return the caller of a request that was identified; otherwise None."""
    caller: Caller | None = scope.get(_CALLER)
    return caller


# --- credentials ------------------------------------------------------------------------------------


def _read_credentials(scope: Scope, cookie: str, origins: Any) -> Credentials:
    headers = _Headers(scope)
    if token := _read_bearer(headers):
        return Credentials(token=token)
    tickets = parse_qs(scope["query_string"].decode("latin1")).get(TICKET, [])
    if len(tickets) > 1:
        raise InvalidField("a request has one ticket at most", field=TICKET)
    if tickets:
        # It stands in a URL, where others may see it before it is spent: it changes nothing.
        if _is_unsafe(scope):
            raise Forbidden("a ticket opens a stream, and changes nothing: send the token", field=TICKET)
        return Credentials(ticket=tickets[0])
    if cookie and (token := _read_cookie(headers, cookie)):
        is_changing = scope["type"] == "websocket" or _is_unsafe(scope)
        if is_changing and not _is_of_own_page(scope, headers, origins):
            raise Forbidden("a cookie alone does not let a page of another origin do this", field="Origin")
        return Credentials(token=token)
    return Credentials()


def _is_unsafe(scope: Scope) -> bool:
    """Return True for a request that may change something (RFC 9110 section 9.2.1)."""
    return scope["type"] == "http" and scope["method"] not in SAFE_METHODS


class _Headers:
    """The headers of a scope, by their lower-case names."""

    def __init__(self, scope: Scope) -> None:
        self._headers = scope["headers"]

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin1") for key, value in self._headers if key.lower() == name]

    def last(self, name: bytes) -> str:
        return (self.all(name) or [""])[-1]


def bearer_token(scope: Scope) -> str:
    """Return the token of a request's header; empty without one.

    Raises:
        InvalidToken: the header has another form.
    """
    return _read_bearer(_Headers(scope))


def _read_bearer(headers: _Headers) -> str:
    fields = headers.all(b"authorization")
    if not fields:
        return ""
    if len(fields) > 1:
        raise InvalidToken(f"a request has one {AUTHORIZATION} at most", field=AUTHORIZATION)
    scheme, _, token = fields[0].strip().partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise InvalidToken(f"{AUTHORIZATION} must be: Bearer TOKEN", field=AUTHORIZATION)
    return token.strip()


def _read_cookie(headers: _Headers, name: str) -> str:
    """Return the value of a cookie; empty without it, or if it is there with different values."""
    found = []
    for field in headers.all(b"cookie"):
        for part in field.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                found.append(value)
    return found[0] if len(set(found)) == 1 else ""


def _is_of_own_page(scope: Scope, headers: _Headers, origins: Any) -> bool:
    sent = headers.all(b"origin")
    if len(sent) > 1:
        return False
    if not any(sent):
        return headers.last(b"sec-fetch-site") == "same-origin"
    [origin] = sent
    secure = scope["scheme"] in ("https", "wss")
    return origin in origins or is_own_origin(origin, headers.last(b"host"), secure=secure)


# --- streams ----------------------------------------------------------------------------------------


class RestrictedReader:
    """A caller of a stream whose rights are limited, also after a change of its subscription.

    Args:
        access: decides.
        rights: of the caller, for its selectors.
        caller: the caller.
        tasks: tells to whom a task belongs.

    Attributes:
        rights: the present ones.
    """

    def __init__(self, access: Access, rights: ReadingRights, caller: Caller, tasks: Tasks) -> None:
        self.rights = rights
        self._access = access
        self._caller = caller
        self._tasks = tasks

    async def admit(self, selectors: Selectors) -> None:
        """Check the selectors of a subscription, and add the caller's tasks among them to what it may read.

        Raises:
            Unauthorized, Forbidden: see :meth:`.Access.reading_rights`.
            NotFound: a topic is that of a task which is not the caller's.
        """
        self._access.reading_rights(self._caller, selectors)
        if sees_all_tasks(self._caller):
            return
        own = []
        for task_id in tasks_of(selectors):
            await find_task_of(self._access, self._caller, task_id, self._tasks)
            own.append(topic_of(task_id))
        if own:
            own_topics = self.rights.scope.own_topics.union(own)
            rights = self._access.reading_rights(self._caller, selectors, own_topics)
            self.rights = rights or self.rights


async def restrict(stream_request: StreamRequest, runtime: Runtime, caller: Caller) -> StreamRequest:
    """Check a subscription, and return it with the rights of its caller.

    Raises:
        Unauthorized, Forbidden, NotFound: see :meth:`RestrictedReader.admit`.
    """
    rights = runtime.access.reading_rights(caller, stream_request.selectors)
    if rights is None:
        return stream_request
    reader = RestrictedReader(runtime.access, rights, caller, runtime.tasks)
    await reader.admit(stream_request.selectors)
    return attrs.evolve(stream_request, reader=reader)


async def find_task_of(
    access: Access, caller: Caller, task_id: str, tasks: Tasks, *, kind: str | None = None
) -> Task:
    """Return a task that a caller may use.

    Raises:
        Unauthorized: the caller has no token.
        NotFound: there is no such task of that kind, or not for this caller.
        Gone: it was deleted; for callers that may use all tasks.
    """
    access.demand_token(caller)
    try:
        task = await tasks.get(task_id, kind=kind)
    except (NotFound, Gone) as error:
        if sees_all_tasks(caller):
            raise
        # As for a task of others; whose a deleted one was is not known any more.
        raise NotFound("there is no such task", field="id") from error
    check_task(access, caller, task, tasks)
    return task


def check_task(access: Access, caller: Caller, task: Task, tasks: Tasks) -> None:
    """Check that a caller may use a task.

    Raises:
        Unauthorized, NotFound: see :meth:`.Access.check_task`.
    """
    kind = tasks.kinds.get(task.kind)
    access.check_task(caller, task.owner, of_merchant=kind is not None and kind.of_merchants)


def is_visible(access: Access, caller: Caller, task: Task, tasks: Tasks) -> bool:
    """Return True for a task that a caller may use."""
    try:
        check_task(access, caller, task, tasks)
    except NotFound:
        return False
    return True


# --- checks of views ----------------------------------------------------------------------------------


async def _permit(check: Callable[..., None], *arguments: str) -> Caller:
    """Return the caller of the current request, after a check of what it may do."""
    caller = await current_caller()
    check(current_runtime().access, caller, *arguments)
    return caller


async def demand_tasks() -> Caller:
    """Return the caller of the current request, which may use tasks, at least those of its own.

    Raises:
        Unauthorized, Forbidden: it may not.
    """
    return await _permit(Access.demand_tasks)


async def demand_admin() -> Caller:
    """Return the caller of the current request, an administrator.

    Raises:
        Unauthorized, Forbidden: it is none.
    """
    return await _permit(Access.demand_admin)


async def demand_reading(topic: str) -> Caller:
    """Return the caller of the current request, which may read the events of a topic.

    Raises:
        Unauthorized, Forbidden: it may not.
    """
    return await _permit(Access.check_reading, topic)


async def demand_merchant(merchant: str) -> Caller:
    """Return the caller of the current request, which may act for a merchant.

    Raises:
        Unauthorized, Forbidden: it may not.
    """
    return await _permit(Access.check_merchant, merchant)


async def demand_publishing(topic: str) -> Caller:
    """Return the caller of the current request, which may publish under a topic.

    Raises:
        Unauthorized, Forbidden: it may not.
    """
    caller = await current_caller()
    access = current_runtime().access
    if not access.is_open:  # the routes of a service are its own way to its topics
        access.check_publishing(caller, (topic,))
    return caller


async def find_task(task_id: str, *, kind: str | None = None) -> Task:
    """Return a task that the caller of the current request may use.

    Raises:
        Unauthorized: the caller has no token.
        NotFound: there is no such task of that kind, or not for this caller.
        Gone: it was deleted.
    """
    runtime = current_runtime()
    return await find_task_of(runtime.access, await current_caller(), task_id, runtime.tasks, kind=kind)


async def demand_task(task_id: str) -> None:
    """Check that the caller of the current request may use a task, without reading it on an open server.

    Raises:
        Unauthorized, NotFound: see :func:`find_task`.
    """
    if not current_runtime().access.is_open:
        await find_task(task_id)


async def demand_token() -> Caller:
    """Return the caller of the current request, which has a token, unless the server is open.

    Raises:
        Unauthorized: it has none.
    """
    caller = await current_caller()
    current_runtime().access.demand_token(caller)
    return caller
