"""``kill -9`` in the middle of tasks: no message is lost or repeated, and each task ends once."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from streamd.outbound import with_body
from tests.support.server_process import ServerProcess, server_process
from tests.support.task_follower import SocketFollower
from tests.support.tasks_app import COUNTING

SECONDS = 100
NUMBERS = 400  # versions of a task: more than a follower reads before the kill
JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[ServerProcess]:
    options = ("--app", "tests.support.tasks_app:make", "--store", f"sqlite:{path}")
    services = ("research", "sentiment", "strategy", "brand_monitor", "purchase_orders")
    off = {f"{name}__enabled": "false" for name in services}
    async with server_process(*options, seconds=SECONDS, **off) as server:
        yield server


async def kill(server: ServerProcess) -> None:
    server.program.process.kill()
    await server.program.ended()


async def post(server: ServerProcess, path: str, **body: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        answer = await http.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        fields: dict[str, Any] = answer.json()
        return fields


async def get(server: ServerProcess, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        return await http.get(path)


async def until_ahead(server: ServerProcess, follower: SocketFollower, versions: int) -> None:
    """Wait until the task is ``versions`` versions ahead of its follower, which has disconnected."""
    while True:
        task = (await get(server, f"/tasks/{follower.task_id}")).json()
        if task["version"] >= follower.replica.version + versions:
            return
        assert task["status"] == "running", "the task ended before it was far enough ahead"


async def kill_while_it_works(path: Path, moments: list[int], ahead: int) -> None:
    """Start a task before each kill, and kill after a number of events at its follower.

    Args:
        path: of the database.
        moments: numbers of events, one for each kill.
        ahead: further versions that the follower does not read.
    """
    followers: list[SocketFollower] = []
    for moment in [*moments, None]:
        async with serving(path) as server:
            for follower in followers:
                while not await follower.follow(server.url):
                    pass
            await check_ended(server, followers)
            if moment is None:
                return
            task = await post(server, "/tasks", kind=COUNTING, input=NUMBERS)
            follower = SocketFollower(task["id"])
            followers.append(follower)
            assert not await follower.follow(server.url, until_taken=moment)
            await until_ahead(server, follower, ahead)
            await kill(server)


async def check_ended(server: ServerProcess, followers: list[SocketFollower]) -> None:
    for follower in followers:
        task = (await get(server, f"/tasks/{follower.task_id}")).json()
        assert (task["status"], task["error"]["code"]) == ("failed", "stalled")
        [end] = follower.replica.ends
        assert (end["code"], end["version"]) == ("stalled", task["version"])
        count = len(follower.replica.text.split())
        assert follower.replica.text == "".join(f"{number} " for number in range(count))
        assert follower.replica.taken > 1


@pytest.mark.parametrize("ahead", [0, pytest.param(30, marks=pytest.mark.soak)])
async def test_a_task_of_a_killed_process_fails_and_its_followers_miss_nothing(
    tmp_path: Path, ahead: int
) -> None:
    await kill_while_it_works(tmp_path / "tasks.db", [1, 2, 60], ahead)


@attrs.define
class Worker:
    """A remote worker, which repeats each report until it is answered."""

    lease: str
    task_id: str
    url: str = ""
    reported: int = 0

    async def work(self, numbers: int) -> None:
        for number in range(numbers):
            await self._report(progress=100 * number / numbers, message=str(number))
            self.reported = number
        await self._report(status="completed", result={"numbers": numbers})

    async def _report(self, **report: Any) -> None:
        content = json.dumps({"lease": self.lease, **report}).encode()
        while True:
            try:
                async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
                    request = http.build_request("PATCH", f"/tasks/{self.task_id}", headers=JSON)
                    # A body of httpx would stay behind in a request that the kill breaks off, with a warning.
                    answer = await http.send(with_body(request, content))
            except httpx.TransportError:
                await trio.sleep(0.05)  # the server is restarting: retry as a worker does
            else:
                # A server killed between commit and answer has stored the end already.
                assert answer.status_code == 200 or "status" in report, answer.text
                return


@pytest.mark.soak
async def test_a_task_of_a_remote_worker_goes_on(tmp_path: Path) -> None:
    await kill_under_a_worker(tmp_path / "tasks.db", [10, 30, 50])


async def kill_under_a_worker(path: Path, moments: list[int]) -> None:
    """Run one task, and kill the server at given numbers of events at its follower."""
    follower: SocketFollower | None = None
    worker: Worker | None = None
    async with trio.open_nursery() as nursery:
        for moment in [*moments, None]:
            async with serving(path) as server:
                if worker is None:
                    task = await post(server, "/tasks", kind="remote", worker="elsewhere", lease_seconds=60)
                    worker = Worker(task["lease"], task["id"], server.url)
                    follower = SocketFollower(task["id"])
                    nursery.start_soon(worker.work, 100)
                worker.url = server.url
                assert follower is not None
                if moment is None:
                    while not await follower.follow(server.url):
                        pass
                    result = await get(server, f"/tasks/{worker.task_id}/result")
                    assert result.json() == {"numbers": 100}
                else:
                    await follower.follow(server.url, until_taken=moment)
                    await until_ahead(server, follower, 5)
                    await kill(server)
    assert follower is not None
    assert [end["status"] for end in follower.replica.ends] == ["completed"]
    assert follower.replica.progress == 100


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
async def test_kills_at_many_moments(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed).choices(range(1, NUMBERS // 2), k=10)
    await kill_while_it_works(tmp_path / "tasks.db", moments, ahead=30 * (seed % 2))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
async def test_kills_at_many_moments_under_a_remote_worker(tmp_path: Path, seed: int) -> None:
    moments = sorted(random.Random(seed).sample(range(1, 60), 4))
    await kill_under_a_worker(tmp_path / "tasks.db", moments)
