"""The cursor of a request for a stream, by the parameters of its transport."""

from typing import Final

from quart import g

from ..events import EventId
from .current import request_or_upgrade
from .requests import parse_cursor

_IS_POLL: Final = "streamd_is_poll"
_OF_POLLS: Final = "after"
_OF_ALL: Final = "last_event_id"


def note_poll() -> None:
    """Note that the current request is a poll, before its view is called."""
    setattr(g, _IS_POLL, True)


def cursor_parameter() -> str:
    """Return the name of the query parameter with the cursor of the current request.

    A poll has it in ``after``, and at first maybe in the ``last_event_id`` of the URL that the client was
    given.
    """
    return _OF_POLLS if g.get(_IS_POLL) and request_or_upgrade().args.get(_OF_POLLS) else _OF_ALL


def stream_cursor() -> EventId | None:
    """Parse the cursor of the current request; None without one.

    Raises:
        InvalidField: the cursor is not an event id.
    """
    return parse_cursor(request_or_upgrade(), cursor_parameter())
