"""Asking a server about its tasks, and following one of them."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from ..errors import InvalidBody, InvalidField
from ..events.bodies import decode_json
from ..outbound import Backoff
from .answer import open_answer, read_refusal
from .endpoint import ServerEndpoint, Timeouts, Verify
from .errors import ProtocolError, Unreachable
from .link import EVENT_CHARS_MAX, Request
from .sse import follow_sse
from .subscription import EventSubscription, follow

ANSWER_BYTES_MAX: Final = 4 * EVENT_CHARS_MAX
STATUSES: Final = ("pending", "running", "completed", "failed", "cancelled")
ENDED: Final = frozenset({"completed", "failed", "cancelled"})


class StepState(msgspec.Struct, frozen=True):
    """One part of a task."""

    name: str
    status: str = "pending"
    progress: float = 0.0  # 0 to 100
    message: str = ""
    error: str = ""


class TaskFailure(msgspec.Struct, frozen=True):
    """Why a task failed, or was cancelled."""

    code: str = ""
    detail: str = ""


class TaskState(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the server answers it; moments are RFC 3339."""

    id: str
    kind: str
    status: str
    owner: str = ""
    progress: float = 0.0  # 0 to 100
    stage: str = ""
    message: str = ""
    steps: tuple[StepState, ...] = ()
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
    fields: dict[str, Any] = {}  # the whole answer, also what is not named here

    @property
    def ended(self) -> bool:
        """Whether nothing can come after it."""
        return self.status in ENDED


class TaskClient:
    """The tasks of one server. Nothing is tried again, but for :meth:`follow`.

    Args:
        url: the server's address, such as ``http://127.0.0.1:8080``.
        verify: of a TLS certificate: True, a file of authorities (PEM), an ``ssl.SSLContext``, or False.
        http2: HTTP/2, without TLS by prior knowledge.
        backoff: the waits between tries to follow a task.
        timeouts: ``connect_seconds`` bounds connecting and the wait for each part of an answer.

    All methods raise:
        Unreachable, ServerBusy: no answer, or none now.
        RequestFailed: the server refuses; ``problem.status`` is 404 for a task that it does not know, and
            410 for one that it keeps no more.
        ProtocolError, Untrusted: what answers is not streamd, or is not to be trusted.

    Raises:
        InvalidField: ``url`` cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        verify: Verify = True,
        http2: bool = False,
        backoff: Backoff | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._endpoint = ServerEndpoint.create(url, verify=verify, http2=http2, timeouts=timeouts)
        self._backoff = backoff

    async def list(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        owner: str | None = None,
        limit: int | None = None,
    ) -> list[TaskState]:
        """Tasks, the newest first.

        Args:
            kind, status, owner: of which; None for any.
            limit: the most tasks (count); None for the server's own default.
        """
        asked = {"kind": kind, "status": status, "owner": owner, "limit": limit}
        query = {name: value for name, value in asked.items() if value is not None}
        answer = await self._ask("GET", "tasks", query=query)
        return [_read_task(fields) for fields in _read(answer, _Listed).tasks]

    async def get(self, task_id: str) -> TaskState:
        """A task as it is now."""
        return _read_task(_read(await self._ask("GET", _path(task_id)), dict[str, Any]))

    async def result(self, task_id: str) -> Any:
        """What a task came to, a JSON value; 409 for one that has none."""
        return _read(await self._ask("GET", _path(task_id) + "/result"), Any)

    async def cancel(self, task_id: str, *, message: str = "") -> TaskState:
        """End a task that nobody wants any more; 409 for one that has ended.

        Cancelling the call, or an error without an answer, leaves open whether the task was.

        Args:
            message: why, for those who follow it.
        """
        body = msgspec.json.encode({"message": message})
        answer = await self._ask("POST", _path(task_id) + "/cancel", body=body)
        return _read_task(_read(answer, dict[str, Any]))

    def follow(self, task_id: str) -> AbstractAsyncContextManager[EventSubscription]:
        """A task's messages: its present state, then what happens to it; use it as :func:`subscribe`.

        Connections are made, and made again, each going on after the last message that came. The end of a
        connection is a :class:`.items.Reconnecting`, also when the task's last message came before it; the
        iteration is over when the server says then that nothing more will come (204).
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
                request = client.build_request(method, url, params=params, headers=headers, content=body)
                async with open_answer(client, request, seconds=seconds) as answer:
                    if answer.status != 200:
                        raise await read_refusal(answer, seconds)
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
        return decode_json(answer, type)
    except InvalidBody as error:
        raise ProtocolError(f"the answer is not one of streamd: {error.detail}; is the URL right?") from error


def _read_task(fields: dict[str, Any]) -> TaskState:
    try:
        return msgspec.convert({**fields, "fields": fields}, TaskState)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the answer is not a task of streamd: {error}; is the URL right?") from error
