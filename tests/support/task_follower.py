"""A client that follows one task over a socket through any number of disconnections."""

import attrs
import h11
import trio

from streamd.events import ControlName
from streamd.events.sse import ServerSentEvent
from streamd.testing import StreamReader, StreamRefused, open_stream
from tests.support.messages import parse
from tests.support.task_replica import TaskReplica

_CUT_OFF = (OSError, trio.BrokenResourceError, h11.RemoteProtocolError)
_CONTROL = frozenset(str(name) for name in ControlName)


@attrs.define
class SocketFollower:
    """A reader of a task's stream, which resumes at its cursor.

    Attributes:
        replica: the task as this client knows it.
        last_event_id: the cursor.
    """

    task_id: str
    replica: TaskReplica = attrs.field(factory=TaskReplica)
    last_event_id: str | None = None

    async def follow(self, url: str, *, until_taken: int | None = None) -> bool:
        """Follow the task from the cursor.

        Args:
            url: of the server.
            until_taken: leave the stream at this number of messages, earlier connections included.

        Returns:
            True at the end of the task; False when the stream was left or cut off.
        """
        path = f"/tasks/{self.task_id}/events"
        try:
            async with open_stream(url, path=path, last_event_id=self.last_event_id) as reader:
                return await self._read(reader, until_taken)
        except StreamRefused as refusal:
            if refusal.status != 204 or not self.replica.ends:
                raise
            return True  # the cursor is at the end
        except _CUT_OFF:
            return False

    async def _read(self, reader: StreamReader, until_taken: int | None) -> bool:
        while (block := await reader.next_block()) is not None:
            self.last_event_id = reader.last_event_id or self.last_event_id
            if isinstance(block, ServerSentEvent) and block.type not in _CONTROL:
                self.replica.take(parse(block))
            if until_taken is not None and self.replica.taken >= until_taken:
                return False
        return bool(self.replica.ends)
