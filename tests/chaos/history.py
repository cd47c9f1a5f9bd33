"""The history of a run: everything that clients sent, and everything that the server answered.

A *token* names one event by its content: each event that a publisher sends has a token of its own, in its
data, and a retry sends the same token again. A *stamp* orders what happened in this process: the client that
saw an answer with stamp 7 had it before the request with stamp 8 was sent.

An attempt has one of three outcomes: acknowledged, refused (the server answered that it published nothing),
or unknown (the connection ended before the answer).
"""

import re
from typing import Any, Final

import attrs

END_TOPIC: Final = "chaos/end"
TASK_TOPICS: Final = "tasks/"


@attrs.define
class Sent:
    """One event that a publisher sent, in one attempt or several with the same content.

    Attributes:
        token: names the event.
        topics: of the event.
        type: of the event.
        data: of the event, which contains the token.
        first_stamp: before its first attempt.
        keyed: it has an idempotency key, and is sent until it is acknowledged or refused.
        array: number of the array that it is part of; None for a single event or a line of NDJSON.
        ids: of its acknowledgements, each once.
        acked_stamp: of its first acknowledgement.
        unknown: number of attempts with an unknown outcome.
        refused: number of attempts that were refused.
        number_of_round: the round in which it was first sent.
    """

    token: str
    topics: tuple[str, ...]
    type: str
    data: Any
    first_stamp: int
    keyed: bool
    array: int | None = None
    ids: list[str] = attrs.field(factory=list)
    acked_stamp: int | None = None
    unknown: int = 0
    refused: int = 0
    number_of_round: int = 0

    def acknowledge(self, id: str, stamp: int) -> None:
        """Record an acknowledgement."""
        if id not in self.ids:
            self.ids.append(id)
        if self.acked_stamp is None:
            self.acked_stamp = stamp


@attrs.frozen
class Delivery:
    """One event as a reader received it.

    Args:
        topics: None if the transport does not tell them.
    """

    id: str
    token: str
    type: str
    data: Any
    topics: tuple[str, ...] | None
    stamp: int
    number_of_round: int = 0


@attrs.frozen
class GapNotice:
    """A gap: events after ``requested`` were lost, up to ``resumed_after``."""

    requested: str
    resumed_after: str
    stamp: int
    number_of_round: int = 0


@attrs.frozen
class Moved:
    """A new cursor without an event: everything up to it was considered."""

    id: str
    stamp: int


@attrs.frozen
class Connected:
    """The beginning of a connection, at which the newest event of the log was ``head``."""

    head: str
    stamp: int


Item = Delivery | GapNotice | Moved | Connected


@attrs.define
class ReaderHistory:
    """All that one reader received, over all its connections.

    Attributes:
        start: its first cursor; events up to it are none of its business. None before the first connection.
        items: in the order in which they came.
        at_end: it has received the event that ends the part.
    """

    name: str
    topics: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    start: str | None = None
    items: list[Item] = attrs.field(factory=list)
    at_end: bool = False

    def matches(self, topics: tuple[str, ...]) -> bool:
        """Return True if the reader subscribed to one of the topics."""
        return any(t in self.topics or any(is_match(p, t) for p in self.patterns) for t in topics)

    def split(self, end_token: str) -> "ReaderHistory":
        """Cut off the items after the end, and return them as the history of the next part."""
        for index, item in enumerate(self.items):
            if isinstance(item, Delivery) and item.token == end_token:
                rest, self.items = self.items[index + 1 :], self.items[: index + 1]
                return ReaderHistory(self.name, self.topics, self.patterns, item.id, rest)
        raise AssertionError(f"{self.name} has not received {end_token}")

    @property
    def deliveries(self) -> list[Delivery]:
        return [item for item in self.items if isinstance(item, Delivery)]

    @property
    def gaps(self) -> list[GapNotice]:
        return [item for item in self.items if isinstance(item, GapNotice)]


@attrs.frozen
class Life:
    """One server process; its log, if it begins with the process, begins between the two times.

    Args:
        earliest_ms: the wall clock before the process was started.
        latest_ms: the wall clock after it was ready.
    """

    earliest_ms: int
    latest_ms: int


@attrs.define
class History:
    """A part of a run, from one event that all readers received to another.

    Attributes:
        durable: the log survives the end of a process.
        end_token: of the event that ends the part.
        sent: by token.
        carried: tokens of the part before, of which no client knows whether they were published.
        readers: the histories of all readers.
        lives: the server processes so far, in their order.
    """

    durable: bool
    end_token: str
    sent: dict[str, Sent] = attrs.field(factory=dict)
    carried: frozenset[str] = frozenset()
    readers: list[ReaderHistory] = attrs.field(factory=list)
    lives: list[Life] = attrs.field(factory=list)

    def life_of(self, id: str) -> int:
        """Return the number of the process that gave out an id, in a run whose clock was never set back."""
        ms = int(id[:13])
        return sum(1 for life in self.lives if life.earliest_ms <= ms)


@attrs.frozen
class Violation:
    """A broken promise of the server.

    Args:
        kind: a short name.
        text: a sentence with the values.
        ids: event ids that the story is about.
        reader: the reader that the story is about.
        token: the event that the story is about.
    """

    kind: str
    text: str
    ids: tuple[str, ...] = ()
    reader: str | None = None
    token: str | None = None


def is_match(pattern: str, topic: str) -> bool:
    """Match a topic with a pattern, in which ``*`` is one segment and a last ``**`` is the rest."""
    wanted, segments = re.split("[/:]", pattern), re.split("[/:]", topic)
    if wanted[-1] == "**":
        wanted, segments = wanted[:-1], segments[: len(wanted) - 1]
    return len(wanted) == len(segments) and all(w in ("*", s) for w, s in zip(wanted, segments, strict=True))
