"""List, get, cancel and follow the tasks of a server."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from ..errors import InvalidBody, InvalidField
from ..json import decode_message
from ..outbound import Backoff, with_body
from .answer import open_answer, read_rejection
from .endpoint import ServerEndpoint, Timeouts, Token, Verify
from .errors import ProtocolError, Unreachable
from .link import EVENT_CHARS_MAX, Request
from .sse import follow_sse
from .subscription import EventSubscription, follow

ANSWER_BYTES_MAX: Final = 4 * EVENT_CHARS_MAX
STATUSES: Final = ("pending", "running", "completed", "failed", "cancelled")
ENDED: Final = frozenset({"completed", "failed", "cancelled"})


class StepState(msgspec.Struct, frozen=True):
    """A step of a task."""

    name: str
    step: int | None = None  # its number, from 1
    status: str = "pending"
    progress: float = 0.0  # 0 to 100
    weight: float = 1.0  # its share of the task's progress
    message: str = ""
    error: str = ""


class TaskFailure(msgspec.Struct, frozen=True):
    """The reason why a task failed or was cancelled."""

    code: str = ""
    detail: str = ""


class TaskState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a task, as the server answers it. Times are RFC 3339."""

    id: str
    kind: str
    status: str
    owner: str = ""
    progress: float = 0.0  # 0 to 100; 100 only if it is completed
    step: int | None = None  # number of the current step, from 1; None before any, and for another name
    step_name: str = ""
    steps: int = 0  # how many there are
    message: str = ""
    step_list: tuple[StepState, ...] = ()
    details: dict[str, Any] = {}
    eta_seconds: float | None = None
    error: TaskFailure | None = None
    worker: str = ""
    created_at: str | None = None
    started_at: str | None = None
    updated_at: str | None = None
    ended_at: str | None = None
    deadline: str | None = None
    version: int = 0
    has_result: bool = False
    fields: dict[str, Any] = {}  # the whole answer, with fields that have no attribute here

    @property
    def ended(self) -> bool:
        """True if the task is completed, failed or cancelled."""
        return self.status in ENDED


class TaskClient:
    """The tasks of one server. Requests are not retried; :meth:`follow` reconnects.

    Args:
        url: the server's address, such as ``http://127.0.0.1:8080``.
        verify: how to verify a TLS certificate: True, a file with authorities (PEM), an ``ssl.SSLContext``,
            or False.
        http2: use HTTP/2; without TLS by prior knowledge.
        backoff: the waits between attempts to follow a task.
        timeouts: ``connect_seconds`` bounds connecting and the wait for each part of an answer.
        token: see :func:`.subscribe`.

    All methods raise:
        Unreachable, ServerBusy: there is no answer, or none now.
        RequestFailed: the server rejects the request. ``problem.status`` is 404 for an unknown task, and 410
            for a deleted one.
        ProtocolError, Untrusted: the server does not speak streamd's protocol, or its certificate is not
            trusted.

    Raises:
        InvalidField: ``url`` is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        verify: Verify = True,
        http2: bool = False,
        backoff: Backoff | None = None,
        timeouts: Timeouts | None = None,
        token: Token | None = None,
    ) -> None:
        self._endpoint = ServerEndpoint.create(
            url, verify=verify, http2=http2, timeouts=timeouts, token=token
        )
        self._backoff = backoff

    async def list(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        owner: str | None = None,
        limit: int | None = None,
    ) -> list[TaskState]:
        """Return tasks, the newest first.

        Args:
            kind, status, owner: select tasks with this value; None for any.
            limit: the maximum number of tasks; None for the server's default.
        """
        filters = {"kind": kind, "status": status, "owner": owner, "limit": limit}
        query = {name: value for name, value in filters.items() if value is not None}
        answer = await self._ask("GET", "tasks", query=query)
        return [_read_task(fields) for fields in _read(answer, _Listed).tasks]

    async def get(self, task_id: str) -> TaskState:
        """Return the current state of a task."""
        return _read_task(_read(await self._ask("GET", _path(task_id)), dict[str, Any]))

    async def result(self, task_id: str) -> Any:
        """Return the result of a task, a JSON value. The server answers 409 for a task without one."""
        return _read(await self._ask("GET", _path(task_id) + "/result"), Any)

    async def cancel(self, task_id: str, *, message: str = "") -> TaskState:
        """Cancel a task, and return its state. The server answers 409 for a task that has ended.

        After a cancellation of this call, or an error without an answer, the task may be cancelled or not.

        Args:
            message: the reason, for the followers of the task.
        """
        body = msgspec.json.encode({"message": message})
        answer = await self._ask("POST", _path(task_id) + "/cancel", body=body)
        return _read_task(_read(answer, dict[str, Any]))

    def follow(self, task_id: str) -> AbstractAsyncContextManager[EventSubscription]:
        """Follow the messages of a task: its current state, then every change. Used as :func:`subscribe`.

        Every connection resumes after the last message. The end of a connection is a
        :class:`.items.Reconnecting`, also after the last message of the task. The iteration ends when the
        server then answers that the stream has ended for good (204).
        """
        request = Request(self._endpoint, (), _path(task_id) + "/events")
        return follow(follow_sse, request, backoff=self._backoff, snapshots=True)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        seconds = self._endpoint.timeouts.connect_seconds
        url = self._endpoint.url(path)
        try:
            async with self._endpoint.http_client() as client:
                params = httpx.QueryParams(query) if query else None
                request = client.build_request(method, url, params=params, headers=headers)
                if body is not None:
                    with_body(request, body)
                async with open_answer(client, request, seconds=seconds) as answer:
                    if answer.status != 200:
                        raise await read_rejection(answer, seconds)
                    return await answer.read(max_bytes=ANSWER_BYTES_MAX, timeout_seconds=seconds)
        except Unreachable as error:
            raise Unreachable(f"no answer from {self._endpoint.base}: {error.detail}") from error


class _Listed(msgspec.Struct):
    tasks: list[dict[str, Any]]


def _path(task_id: str) -> str:
    if task_id in ("", ".", ".."):
        raise InvalidField(f"{task_id!r} cannot be the id of a task", field="id")
    return "tasks/" + quote(task_id, safe="")


def _read(answer: bytes, type: Any) -> Any:
    try:
        return decode_message(answer, type, noun="the answer")
    except InvalidBody as error:
        raise ProtocolError(f"the answer is not streamd's: {error.detail}; is the URL right?") from error


def _read_task(fields: dict[str, Any]) -> TaskState:
    try:
        return msgspec.convert({**fields, "fields": fields}, TaskState)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the answer is not a task of streamd: {error}; is the URL right?") from error
