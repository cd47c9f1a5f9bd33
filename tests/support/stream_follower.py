"""One client's stream of a task, and what every such stream must be."""

from collections.abc import Sequence
from typing import Any

import attrs
import trio

from streamd.events import Batch, Event, EventId, Frame, Selectors, UnloggedEvent
from streamd.hub import DeliveryRecord, SendQueue
from streamd.tasks import Task, operations, topic_of
from streamd.tasks.stream import TaskSource, open_task
from tests.support.task_rig import Rig


@attrs.frozen
class Heard:
    """One message as a client has it."""

    id: EventId
    type: str
    data: dict[str, Any]

    @property
    def is_snapshot(self) -> bool:
        return self.data.get("snapshot") is True


def heard(frames: Sequence[Frame]) -> list[Heard]:
    known: list[Heard] = []
    for frame in frames:
        assert isinstance(frame, Event | UnloggedEvent), frame
        data = frame.value if isinstance(frame, Event) else frame.data
        known.append(Heard(EventId(frame.id), frame.type, data))
    return known


class Follower:
    """One client's stream of a task.

    Attributes:
        messages: what it has got.
        refused: whether it was told that there is nothing to stream (204).
        over: whether the stream came to its end.
        written: messages that the fan-out wrote by itself (count).
    """

    def __init__(self, rig: Rig, task_id: str, cursor: EventId | None = None, capacity: int = 256) -> None:
        self._rig, self._task_id, self._cursor, self._capacity = rig, task_id, cursor, capacity
        self.messages: list[Heard] = []
        self.refused = self.over = False
        self.written = 0
        self.may_read = trio.Event()
        self.may_read.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        rig, task_id = self._rig, self._task_id
        opening = await open_task(rig.tasks, task_id, self._cursor, rig.log.head)
        self.refused = opening.over
        if opening.over:
            task_status.started()
            return
        topic = Selectors(topics=[topic_of(task_id)])
        queue = SendQueue(self._capacity, 1_000_000)
        with rig.hub.subscribe(topic, opening.after, queue) as subscription:
            source = TaskSource(rig.tasks, task_id, subscription, queue, opening.view, opening.end)
            with source:
                task_status.started()
                await self.may_read.wait()
                source.write_through(self, DeliveryRecord(0.0))
                while frames := await source.receive():
                    self.messages += heard(frames)
                    await self.may_read.wait()
                assert await source.receive() == []
                self.over = True

    # --- the wire, which the fan-out writes to by itself

    def write_nowait(self, batch: Batch) -> int:
        if not self.may_read.is_set():
            return 0
        self.messages += heard(batch.frames)
        self.written += len(batch.frames)
        return 1

    async def write(self, batch: Batch) -> int:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError

    @property
    def versions(self) -> list[int]:
        return [message.data["version"] for message in self.messages]


async def follow(rig: Rig, task_id: str, cursor: EventId | None = None) -> Follower:
    """A stream from its beginning to its end."""
    follower = Follower(rig, task_id, cursor)
    with trio.fail_after(30):
        await follower.run()
    return follower


def check_stream(follower: Follower, last_version: int, gaps: bool = False) -> None:
    """A snapshot first, each version behind it once, and the end; holes only where a snapshot mends them."""
    assert follower.over
    messages = follower.messages
    assert messages[0].is_snapshot
    version, text = 0, ""
    for message in messages[:-1]:
        if message.is_snapshot:
            assert message.data["version"] > version, "a snapshot of what the client had"
            assert version == 0 or gaps
            text = message.data["text"]
        else:
            assert message.data["version"] == version + 1
            text += message.data.get("text_delta", "")
        version = message.data["version"]
    end = messages[-1]
    assert end.type in ("complete", "error")
    assert end.data["version"] == last_version
    assert version == (last_version if messages[-2].is_snapshot and version == last_version else version)
    assert version in (last_version, last_version - 1)
    assert text == "".join(f"{n} " for n in range(last_version - 3))
    ids = [message.id for message in messages]
    assert ids == sorted(ids)


async def begin(rig: Rig, task_id: str = "t") -> Task:
    return await rig.tasks.create("remote", id=task_id, worker="w", timeout_seconds=10_000)


async def say(rig: Rig, task: Task, n: int) -> None:
    """The ``n``-th update, counted from 0."""
    await rig.tasks.perform(
        task.id,
        lambda task: [operations.update(task, rig.tasks.now(), text=f"{n} ", progress=n % 100)],
        lease=task.lease,
    )


async def work_through(rig: Rig, updates: int) -> Task:
    """A task to its end: ``updates`` + 3 versions."""
    task = await begin(rig)
    for n in range(updates):
        await say(rig, task, n)
    return await rig.tasks.complete(task.id, 7)
