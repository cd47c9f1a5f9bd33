"""A task as a client rebuilds it from the messages of its stream."""

from typing import Any, Final

import attrs

from tests.support.messages import StreamMessage

ENDS: Final = ("complete", "error")


@attrs.define
class TaskReplica:
    """The state of a task at a client, which checks each message before it takes it in.

    A message must have the next version. A snapshot may leave versions out, for it contains them. The end has
    the version of the snapshot before it when that snapshot is of the ended task.

    Attributes:
        version: of the last message.
        text: built from snapshots and deltas.
        snapshots: versions before and in each snapshot.
        ends: data of the messages that end the stream.
        taken: messages (count).
    """

    version: int = 0
    progress: float = 0.0
    text: str = ""
    snapshots: list[tuple[int, int]] = attrs.field(factory=list)
    ends: list[dict[str, Any]] = attrs.field(factory=list)
    taken: int = 0

    def take(self, message: StreamMessage) -> None:
        """Check a message, and take it in."""
        data, is_end = message.data, message.type in ENDS
        assert data["progress"] >= self.progress
        if data.get("snapshot"):
            assert data["version"] >= self.version
            assert data["text"].startswith(self.text)
            self.snapshots.append((self.version, data["version"]))
            self.text = data["text"]
        elif is_end and data["version"] == self.version:
            assert self.snapshots, "the end repeats a version without a snapshot of it"
        else:
            assert data["version"] == self.version + 1
            self.text += data.get("text_delta", "")
        self.version = data["version"]
        self.progress = data["progress"]
        self.taken += 1
        if is_end:
            self.ends.append(data)
