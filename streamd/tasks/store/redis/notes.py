"""The notes by which all nodes learn of changes that concern them, with the events in the log."""

from typing import Final

from ....events import Event
from ...model import topic_of
from ..port import Outgoing, Publishing

_CREATED: Final = "created"
_ENDED: Final = "ended "


def note_of(row: Outgoing) -> str:
    """Return the note of an event; '' for none."""
    if not row.is_own:
        return ""
    if row.final:
        return f"{_ENDED}{row.version}"
    return f"{_CREATED} {row.kind}" if row.version == 1 else ""


def hand_on_note(publishing: Publishing, event: Event, note: str) -> None:
    """Tell the publisher of this node about an event with a note."""
    task_id = event.topics[0].removeprefix(topic_of(""))
    said, _, kind = note.partition(" ")
    if said == _CREATED:  # release 0.1 names no kind
        publishing.created(task_id, kind, event.id)
    elif note.startswith(_ENDED):
        publishing.ended(task_id, int(note.removeprefix(_ENDED)), event.id)
