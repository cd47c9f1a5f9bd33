"""The messages of a session: the standard messages, with the session's id and its steps."""

import attrs
import msgspec

from ...tasks import Message, Publication, Task
from .models import present_steps


def present(task: Task, message: Message) -> list[Publication]:
    """Publish each message with ``researchSessionId``, and ``steps`` in the shape of the session's status."""
    data = {
        "researchSessionId": task.id,
        **message.data,
        "steps": msgspec.to_builtins(present_steps(task)),
    }
    return [Publication((task.topic,), attrs.evolve(message, data=data))]
