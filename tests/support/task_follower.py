"""A client that follows one task through any number of cuts, and checks every version that it sees."""

import json
from typing import Any

import attrs
import h11
import trio

from streamd.events.sse import ServerSentEvent
from streamd.testing import StreamReader, StreamRefused, open_stream

CUT = (OSError, trio.BrokenResourceError, h11.RemoteProtocolError)
OWN = ("connected", "heartbeat", "closing", "gap")
ENDS = ("complete", "error")


@attrs.define
class Follower:
    """What one client has seen of a task.

    Each event must be the next version; only a snapshot may leave some out, for it holds them.
    """

    task_id: str
    version: int = 0
    progress: float = 0.0
    text: str = ""
    snapshots: int = 0
    ends: list[dict[str, Any]] = attrs.field(factory=list)
    last_event_id: str | None = None
    seen: int = 0  # events and snapshots

    async def follow(self, url: str, *, until_seen: int | None = None) -> bool:
        """Follow on from where it was; whether that was the end.

        Returns False when the stream is cut off, or so many events were seen.
        """
        try:
            async with open_stream(
                url, path=f"/tasks/{self.task_id}/events", last_event_id=self.last_event_id
            ) as reader:
                return await self._read(reader, until_seen)
        except StreamRefused as refusal:
            if refusal.status != 204 or not self.ends:
                raise
            return True  # it was told that it has the end already
        except CUT:
            return False

    async def _read(self, reader: StreamReader, until_seen: int | None) -> bool:
        while (block := await reader.next_block()) is not None:
            if reader.last_event_id:
                self.last_event_id = reader.last_event_id
            if isinstance(block, ServerSentEvent) and block.type not in OWN:
                self._take(block.type, json.loads(block.data))
            if until_seen is not None and self.seen >= until_seen:
                return False
        return bool(self.ends)

    def _take(self, type: str, data: dict[str, Any]) -> None:
        self.seen += 1
        assert data["progress"] >= self.progress
        self.progress = data["progress"]
        if data.get("snapshot"):
            assert data["version"] >= self.version
            assert data["text"].startswith(self.text)
            self.text = data["text"]
            self.snapshots += 1
        elif type in ENDS and data["version"] == self.version:
            assert self.snapshots, "only behind a snapshot of the end is the end itself no further version"
        else:
            assert data["version"] == self.version + 1
            self.text += data.get("text_delta", "")
        self.version = data["version"]
        if type in ENDS:
            self.ends.append(data)
