"""A client of a task's stream without a socket: it reads the stream's source, and is the fan-out's wire."""

import json
from collections.abc import Sequence

import trio

from streamd.events import Batch, Event, EventId, Frame, Selectors, UnloggedEvent
from streamd.hub import DeliveryRecord, SendQueue
from streamd.tasks import Task, operations, topic_of
from streamd.tasks.stream import TaskSource, open_task
from tests.support.messages import StreamMessage
from tests.support.task_replica import ENDS, TaskReplica
from tests.support.task_rig import Rig

READ_SECONDS = 30  # timeout for a whole stream


def decode(frames: Sequence[Frame]) -> list[StreamMessage]:
    """Decode frames, each of which must be a message."""
    messages: list[StreamMessage] = []
    for frame in frames:
        assert isinstance(frame, Event | UnloggedEvent), frame
        data = json.loads(frame.json)["data"]
        messages.append(StreamMessage(str(frame.id), frame.type, data))
    return messages


class SourceFollower:
    """One client's stream of a task.

    It reads frames where :class:`~tests.support.task_follower.SocketFollower` reads bytes, so that a test
    decides at which frame it stalls, and counts the frames that the fan-out writes through.

    Attributes:
        messages: received so far.
        refused: there was nothing to stream (204).
        ended: the stream has come to its end.
        written: messages that the fan-out wrote through (count).
        may_read: the client stalls until this is set.
    """

    def __init__(self, rig: Rig, task_id: str, cursor: str | None = None, capacity: int = 256) -> None:
        self._rig, self._task_id, self._capacity = rig, task_id, capacity
        self._cursor = None if cursor is None else EventId(cursor)
        self.messages: list[StreamMessage] = []
        self.refused = self.ended = False
        self.written = 0
        self.may_read = trio.Event()
        self.may_read.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the stream to its end."""
        rig, task_id = self._rig, self._task_id
        opening = await open_task(rig.tasks, task_id, self._cursor, rig.log.head)
        self.refused = opening.over
        if opening.over:
            task_status.started()
            return
        topic = Selectors(topics=[topic_of(task_id)])
        queue = SendQueue(self._capacity, 1_000_000)
        with rig.hub.subscribe(topic, opening.after, queue) as subscription:
            source = TaskSource(rig.tasks, task_id, subscription, queue, opening.frames, opening.end)
            with source:
                task_status.started()
                await self.may_read.wait()
                source.write_through(self, DeliveryRecord(0.0))
                while frames := await source.receive():
                    self.messages += decode(frames)
                    await self.may_read.wait()
                assert await source.receive() == []
                self.ended = True

    # --- the wire that the fan-out writes through

    def write_nowait(self, batch: Batch) -> int:
        """Take a batch, unless the client stalls."""
        if not self.may_read.is_set():
            return 0
        self.messages += decode(batch.frames)
        self.written += len(batch.frames)
        return 1

    async def write(self, batch: Batch) -> int:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError

    @property
    def versions(self) -> list[int]:
        return [message.data["version"] for message in self.messages]

    @property
    def snapshots(self) -> list[bool]:
        """For each message, whether it is a snapshot."""
        return [message.data.get("snapshot") is True for message in self.messages]


async def follow(rig: Rig, task_id: str, cursor: str | None = None) -> SourceFollower:
    """Read a stream from its beginning to its end."""
    follower = SourceFollower(rig, task_id, cursor)
    with trio.fail_after(READ_SECONDS):
        await follower.run()
    return follower


def check_stream(follower: SourceFollower, last_version: int, *, gaps: bool = False) -> None:
    """Check a whole stream: a snapshot, each later version once, and the end.

    Args:
        follower: a client that began without a cursor.
        last_version: of the task, which was updated ``last_version - 3`` times by :func:`update`.
        gaps: allow further snapshots, each in place of versions that the client had not received.
    """
    assert follower.ended
    replica = TaskReplica()
    for message in follower.messages:
        assert replica.ends == [], "nothing follows the end"
        replica.take(message)
    assert follower.snapshots[0]
    assert gaps or len(replica.snapshots) == 1
    assert all(before < version for before, version in replica.snapshots), "a snapshot of a known version"
    assert follower.messages[-1].type in ENDS
    assert replica.version == last_version
    assert replica.text == "".join(f"{n} " for n in range(last_version - 3))
    ids = [message.id for message in follower.messages]
    assert ids == sorted(ids)


async def begin(rig: Rig, task_id: str = "t") -> Task:
    """Create a task with a worker elsewhere: versions 1 and 2."""
    return await rig.tasks.create("remote", id=task_id, worker="w", timeout_seconds=10_000)


async def update(rig: Rig, task: Task, n: int) -> None:
    """Report the ``n``-th update, counted from 0."""
    await rig.tasks.perform(
        task.id,
        lambda task: [operations.update(task, rig.tasks.now(), text=f"{n} ", progress=n % 100)],
        lease=task.lease,
    )


async def run_to_end(rig: Rig, updates: int) -> Task:
    """Create, update and complete a task: ``updates`` + 3 versions."""
    task = await begin(rig)
    for n in range(updates):
        await update(rig, task, n)
    return await rig.tasks.complete(task.id, 7)
