"""The end of a part of a run: all clients come to rest, and the server says what it knows of the tasks."""

from collections.abc import Sequence
from typing import Final

import httpx
import trio

from tests.chaos.check_tasks import check_tasks
from tests.chaos.history import END_TOPIC, History, ReaderHistory, Sent, Violation
from tests.chaos.publishers import publish_end
from tests.chaos.readers import Reader, SSEReader
from tests.chaos.world import World

_LISTED: Final = 1000  # tasks that the server lists at once, the newest first


def new_history(number: int, world: World | None = None, *, durable: bool) -> History:
    """Make the history of a part, with the event that will end it."""
    token = f"end-{number}"
    history = History(durable, token)
    history.sent[token] = Sent(token, (END_TOPIC,), "message", token, 0, keyed=True)
    if world is not None:
        history.lives = world.lives
        undecided = _undecided(world.history)
        history.sent |= undecided
        history.carried = frozenset(undecided)
    return history


def _undecided(history: History) -> dict[str, Sent]:
    """Return the events that may still be published: a connection was cut under a request that goes on."""
    delivered = {item.token for reader in history.readers for item in reader.deliveries}
    return {
        token: sent
        for token, sent in history.sent.items()
        if sent.unknown and not sent.ids and token not in delivered and token not in history.carried
    }


async def come_to_rest(world: World, readers: Sequence[Reader]) -> None:
    """Wait until all work is done, and until readers and followers have received all of it."""
    await world.gate.close()
    async with _asking(world) as http:
        while "\nstreamd_task_outbox_depth 0.0\n" not in (await http.get("/metrics")).text:
            pass
    await publish_end(world)
    for reader in readers:
        await reader.until_end()
    followers = [follower for task in world.tasks for follower in task.followers]
    await world.until(lambda: all(follower.finished for follower in followers))


async def replay(world: World, start: str) -> None:
    """Read the whole part from the log once more, as a client that was not there; add its history.

    An event that everybody received while it was published may be missing in the log.
    """
    history = ReaderHistory("replay", patterns=("chaos/**", "tasks/**"), start=start)
    world.history.readers.append(history)
    reader = SSEReader(world, history)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.run)
        await reader.until_end()
        nursery.cancel_scope.cancel()


async def look_at_tasks(world: World, watcher: Reader, known_ids: set[str]) -> list[Violation]:
    """Complete the histories of tasks by the server's answers, and check them.

    Args:
        world: the run.
        watcher: the reader of all tasks' events.
        known_ids: of the tasks of earlier parts; those of this one are added.
    """
    watched: dict[str, list[int]] = {}
    for item in watcher.history.deliveries:
        topic, _, version = item.token.partition(" ")
        if version:
            watched.setdefault(topic.removeprefix("tasks/"), []).append(int(version))
    async with _asking(world) as http:
        for task in world.tasks:
            known_ids.update(task.ids)
            if task.ids:
                answer = await http.get(f"/tasks/{task.ids[0]}")
                task.final = answer.json() if answer.status_code == 200 else None
                task.watched = watched.pop(task.ids[0], [])
        listed = (await http.get("/tasks", params={"limit": _LISTED})).json()["tasks"]
    found = check_tasks(
        world.tasks,
        [task["id"] for task in listed],
        known_ids,
        durable=world.history.durable,
    )
    return found + [
        Violation("invented", f"there are events of a task {id} that nobody created", token=f"tasks/{id}")
        for id in watched
        if id not in known_ids
    ]


def _asking(world: World) -> httpx.AsyncClient:
    """Make a client that asks the server itself, past the proxy."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.servers[0].port}", timeout=20)
