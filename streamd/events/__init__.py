"""Events: their ids, topics and data, and their encoding on each transport.

An event is one immutable message. A publisher makes a :class:`Draft` of topics, a type and data; the log
gives it an id, and it is an :class:`Event`. Subscribers select events by topic or by pattern. Everything
that is sent to a client is a :class:`Frame`: events, and control frames such as heartbeats. Frames that
leave together are a :class:`Batch`, whose bytes are made once and shared by all its receivers.

Pure Python: no I/O and no event loop.

===============  ============================================================================
``ids``          event ids, which sort in delivery order, and their sequence
``topics``       topics and selectors: the matcher of subscriptions and grants
``pattern``      :class:`Pattern`, a selector with wildcards
``pattern_trie`` the patterns of many, found by the segments of a topic
``data``         the data of an event: text, JSON, or bytes as base64
``event``        :class:`Draft` and :class:`Event`
``unlogged``     :class:`UnloggedEvent`, for one client only, without the log
``control``      control frames, which never carry an event's id
``batch``        :class:`Batch`, with its bytes for each transport
``sse``          Server-Sent Events: encoder and incremental decoder
``messages``     the JSON messages of WebSocket and long polling
``bodies``       the JSON of a publish request
``stored``       decoding the JSON in which a log stores events
``settings``     limits of events and of requests that publish them
===============  ============================================================================
"""

from .batch import Batch, encode_text_frame
from .control import Control, ControlName, CursorMove, format_time
from .data import DataEncoding
from .event import Draft, Event, EventLimits, Frame
from .ids import EARLIEST, EventId, IdSequence, parse_event_id
from .pattern import Pattern
from .pattern_trie import PatternTrie
from .settings import EventSettings, PublishSettings
from .topics import Selectors, validate_topic
from .unlogged import UnloggedEvent

__all__ = [
    "EARLIEST",
    "Batch",
    "Control",
    "ControlName",
    "CursorMove",
    "DataEncoding",
    "Draft",
    "Event",
    "EventId",
    "EventLimits",
    "EventSettings",
    "Frame",
    "IdSequence",
    "Pattern",
    "PatternTrie",
    "PublishSettings",
    "Selectors",
    "UnloggedEvent",
    "encode_text_frame",
    "format_time",
    "parse_event_id",
    "validate_topic",
]
