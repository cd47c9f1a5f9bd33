"""Workers that create tasks, report on them over HTTP and end them; and followers of their streams."""

from typing import Any, Final, NoReturn

import h11
import httpx
import msgspec
import trio

from streamd.events.sse import ServerSentEvent
from streamd.testing import StreamRefused, open_stream
from tests.chaos.readers import CUT_OFF
from tests.chaos.task_history import (
    Chunk,
    EndAttempt,
    FollowerHistory,
    Outcome,
    Status,
    TaskHistory,
    TaskMessage,
)
from tests.chaos.world import World

KIND: Final = "chaos"
FAILURE: Final = {"detail": "chaos ended it", "code": "chaos"}
_MAX_REPORTS: Final = 12
_LEASE_SECONDS: Final = 3600
_RETRY_SECONDS: Final = 0.02  # as for publishers
_TIMEOUT_SECONDS: Final = 20.0
_CONTROLS: Final = ("connected", "heartbeat", "gap", "closing", "token-expiring")


class Worker:
    """A worker with its tasks, one after the other."""

    def __init__(self, world: World, name: str, followers: trio.Nursery) -> None:
        self._world = world
        self._name = name
        self._rng = world.rng(name)
        self._followers = followers
        self._number = 0

    async def run(self) -> NoReturn:
        """Work while the gate is open, until cancelled."""
        async with httpx.AsyncClient(base_url=self._world.tasks_proxy.url, timeout=_TIMEOUT_SECONDS) as http:
            while True:
                async with self._world.gate.work():
                    await self._work(http)

    async def _work(self, http: httpx.AsyncClient) -> None:
        self._number += 1
        task = TaskHistory(f"{self._name}-{self._number}")
        self._world.tasks.append(task)
        lease = await self._create(http, task)
        followed = trio.Event()
        self._follow(task, followed)
        reports = self._rng.randint(1, _MAX_REPORTS)
        late = self._rng.randint(0, reports)
        for number in range(reports):
            if number == late:
                self._follow(task, followed)
            await self._report(http, task, lease, number, reports)
        await self._end(http, task, lease)
        followed.set()

    def _follow(self, task: TaskHistory, ended: trio.Event) -> None:
        follower = FollowerHistory(f"follower {len(task.followers) + 1}")
        task.followers.append(follower)
        self._followers.start_soon(follow, self._world, task.ids[0], follower)

    async def _create(self, http: httpx.AsyncClient, task: TaskHistory) -> str:
        """Create a task, retry until it is acknowledged, and return its lease."""
        at_once = self._rng.random() < 0.7
        # A kind of its own, so that a claim gets this task and no other.
        body: dict[str, Any] = {"kind": KIND if at_once else f"{KIND}-{task.name}"}
        worker = {"worker": self._name, "lease_seconds": _LEASE_SECONDS}
        if at_once:
            body |= worker
        headers = {"Idempotency-Key": f"task-{task.name}"}
        for again in range(2 if self._rng.random() < 0.2 else 1):  # at times the answer is not believed
            answer = await self._until_answered(http, "POST", "/tasks", json=body, headers=headers)
            if answer.status_code != 201:
                told = f"{answer.status_code} {answer.text} {answer.headers}"
                raise AssertionError(f"creating {task.name} ({again}) was answered {told}")
            if (id := answer.json()["id"]) not in task.ids:
                task.ids.append(id)
        if at_once:
            return str(answer.json()["lease"])
        claim = {"kinds": [body["kind"]], **worker}
        while True:
            claimed, _ = await self._send(http, "POST", "/tasks/claim", json=claim)
            if claimed is not None and claimed.status_code == 200:
                return str(claimed.json()["lease"])
            if claimed is not None and claimed.status_code == 204:
                return (
                    ""  # an attempt that was cut off has claimed it: the lease is lost, and it is cancelled
                )
            await trio.sleep(_RETRY_SECONDS)

    async def _report(
        self, http: httpx.AsyncClient, task: TaskHistory, lease: str, number: int, reports: int
    ) -> None:
        """Report progress, and text at times: progress until it is acknowledged, text once."""
        if not lease:
            return
        report = {"lease": lease, "progress": 99 * number / reports, "message": f"report {number}"}
        path = f"/tasks/{task.ids[0]}"
        if self._rng.random() < 0.5:
            text = f"<{task.name}:{number}>"
            _, outcome = await self._send(http, "PATCH", path, json={**report, "text": text})
            task.chunks.append(Chunk(text, outcome))
            if outcome == "acknowledged":
                return
        await self._until_answered(http, "PATCH", path, json=report)

    async def _end(self, http: httpx.AsyncClient, task: TaskHistory, lease: str) -> None:
        choices: list[Status] = ["completed", "completed", "completed", "failed", "cancelled"]
        status: Status = self._rng.choice(choices) if lease else "cancelled"
        path = f"/tasks/{task.ids[0]}"
        body: dict[str, Any] = {"lease": lease, "status": status}
        if status == "completed":
            body["result"] = {"name": task.name}
        elif status == "failed":
            body["error"] = FAILURE
        by_others = status == "cancelled" and (not lease or self._rng.random() < 0.5)
        while True:
            if by_others:
                answer, outcome = await self._send(http, "POST", f"{path}/cancel")
            else:
                answer, outcome = await self._send(http, "PATCH", path, json=body)
            task.ends.append(EndAttempt(status, outcome))
            if answer is not None and answer.status_code != 503:
                # 409: an attempt with an unknown outcome has ended it.
                break
            await trio.sleep(_RETRY_SECONDS)

    # --- requests -----------------------------------------------------------------------------

    async def _send(
        self, http: httpx.AsyncClient, method: str, path: str, **request: Any
    ) -> tuple[httpx.Response | None, Outcome]:
        """Send a request once."""
        await self._world.until_tasks_up()
        try:
            answer = await http.request(method, path, **request)
        except httpx.TransportError:
            return None, "unknown"
        if answer.is_success:
            self._world.count_acknowledged()
            return answer, "acknowledged"
        if answer.status_code == 503:
            self._world.count_refused()
        elif answer.status_code != 409:
            self._world.notes.append(f"{method} {path} was answered {answer.status_code}: {answer.text}")
        return answer, "refused"

    async def _until_answered(
        self, http: httpx.AsyncClient, method: str, path: str, **request: Any
    ) -> httpx.Response:
        """Send a request until the server has an answer other than that it is not available."""
        while True:
            answer, _ = await self._send(http, method, path, **request)
            if answer is not None and answer.status_code != 503:
                return answer
            await trio.sleep(_RETRY_SECONDS)


async def follow(world: World, task_id: str, follower: FollowerHistory) -> None:
    """Follow a task to its end through any number of disconnections."""
    cursor: str | None = None
    connection = 0
    while not follower.finished:
        await world.until_tasks_up()
        connection += 1
        try:
            path = f"/tasks/{task_id}/events"
            async with open_stream(world.tasks_proxy.url, path=path, last_event_id=cursor) as reader:
                while (block := await reader.next_block()) is not None:
                    cursor = reader.last_event_id or cursor
                    if isinstance(block, ServerSentEvent) and block.type not in _CONTROLS:
                        data = msgspec.json.decode(block.data)
                        message = TaskMessage(
                            block.type, data, block.last_event_id, connection, world.number_of_round
                        )
                        follower.messages.append(message)
                    elif isinstance(block, ServerSentEvent) and block.type == "closing":
                        follower.finished = msgspec.json.decode(block.data)["reason"] == "ended"
        except CUT_OFF:
            pass
        except StreamRefused as refusal:
            if refusal.status == 204:
                follower.finished = True
            elif refusal.status != 503:
                world.notes.append(f"{follower.name} of {task_id} was answered {refusal}")
                return
        except h11.LocalProtocolError as error:
            world.notes.append(f"{follower.name} of {task_id}: {error}")
            return
        await trio.lowlevel.checkpoint()
    world.notify()
