"""What an event is, how it is named and selected, and how it looks on each wire.

Pure Python: no I/O, no event loop, imports only :mod:`streamd.errors` and :mod:`streamd.config`.

===============  ============================================================================
``ids``          event ids, and the sequence that makes them
``topics``       topics, patterns and the one matcher that subscriptions and grants share
``event``        :class:`Draft` (to be published) and :class:`Event` (has its id)
``unlogged``     :class:`UnloggedEvent`, for one client only, without a log
``control``      control frames, which never carry an event's id
``batch``        :class:`Batch`: frames that leave together, encoded once for each wire
``sse``          Server-Sent Events: encoder and incremental decoder
``messages``     the JSON grammar of WebSocket and long-poll
``bodies``       the JSON of a publish request
===============  ============================================================================
"""

from .batch import Batch, encode_text_frame
from .control import Control, ControlName, CursorMove
from .event import Draft, Event, EventLimits, Frame
from .ids import EARLIEST, EventId, IdSequence, parse_event_id
from .topics import Pattern, Selectors, validate_topic
from .unlogged import UnloggedEvent

__all__ = [
    "EARLIEST",
    "Batch",
    "Control",
    "ControlName",
    "CursorMove",
    "Draft",
    "Event",
    "EventId",
    "EventLimits",
    "Frame",
    "IdSequence",
    "Pattern",
    "Selectors",
    "UnloggedEvent",
    "encode_text_frame",
    "parse_event_id",
    "validate_topic",
]
