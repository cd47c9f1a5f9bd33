"""``/events``: subscribing, polling and publishing."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ..json import JSON
from .common import NDJSON, Cursor, Id, MediaTypes, OnLimit, ProblemSchema, ResumeHeaders

Topics = Annotated[list[str], Meta(description="Topics to receive.")]
Patterns = Annotated[
    list[str],
    Meta(description="Patterns of topics: `*` is one segment, a last `**` the rest; `/` and `:` separate."),
]
Overflow = Annotated[
    Literal["catch-up", "latest", "disconnect"],
    Meta(description="The policy for a client that is too slow for its events."),
]
ClientId = Annotated[
    str,
    Meta(
        description="A name that does not begin with `~`; the connection replaces the one whose "
        "`resume_secret` it brings."
    ),
]
ResumeSecret = Annotated[
    str, Meta(description="Of the client's last connection; anonymous clients with a `client_id` only.")
]
Encoding = Annotated[
    str,
    Meta(
        extra_json_schema={"enum": ["base64"]},
        description="`data` is the base64 of bytes (RFC 4648 section 4); absent for text and JSON.",
    ),
]
Private = Annotated[bool, Meta(description="Callers without a token may not read it.")]
Retry = Annotated[int, Meta(description="Reconnection delay for clients (ms).")]


AddedCursor = Annotated[
    str,
    Meta(
        description="The cursor as polyfills of EventSource add it to the URL when they reconnect; it takes "
        "precedence over `last_event_id`."
    ),
]


class SubscribeQuery(Struct):
    """The events to receive: at least one topic or pattern."""

    topic: Topics = []
    pattern: Patterns = []
    last_event_id: Cursor | UnsetType = UNSET
    added_event_id: AddedCursor | UnsetType = field(default=UNSET, name="lastEventId")
    include: (
        Annotated[
            Literal["topics"],
            Meta(description="Adds a `topic` field for each topic of an event, which EventSource ignores."),
        ]
        | UnsetType
    ) = UNSET
    overflow: Overflow = "catch-up"
    client_id: ClientId | UnsetType = UNSET
    resume_secret: ResumeSecret | UnsetType = UNSET
    heartbeat: Annotated[float, Meta(description="Heartbeat interval of a quiet stream (s).")] | UnsetType = (
        UNSET
    )
    on_limit: OnLimit | UnsetType = UNSET


class FollowQuery(Struct):
    """The cursor, for clients that send no headers, and the answer to a client that gets no stream."""

    last_event_id: Cursor | UnsetType = UNSET
    added_event_id: AddedCursor | UnsetType = field(default=UNSET, name="lastEventId")
    on_limit: OnLimit | UnsetType = UNSET


class PollQuery(Struct):
    """The events to receive, and the time to wait for them. At least one topic or pattern."""

    topic: Topics = []
    pattern: Patterns = []
    after: Cursor | UnsetType = UNSET
    wait: Annotated[float, Meta(description="Time to wait when there are no events yet (s).")] | UnsetType = (
        UNSET
    )
    overflow: Overflow = "catch-up"
    client_id: ClientId | UnsetType = UNSET
    resume_secret: ResumeSecret | UnsetType = UNSET


class SubscribeHeaders(ResumeHeaders):
    """The cursor and the resume secret; they take precedence over those in the query."""

    resume_secret: ResumeSecret | UnsetType = field(default=UNSET, name="Resume-Secret")


class PublishSchema(Struct, forbid_unknown_fields=True):
    """One event, with `topic` or `topics`. An array publishes all its events or none; NDJSON one a line."""

    topic: str | None = None
    topics: list[str] | None = None
    type: str | None = None
    data: Any = ""
    encoding: Encoding | None = None
    retry: Retry | None = None
    idempotency_key: str | None = None
    private: Private = False

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {JSON: (cls, list[PublishSchema]), NDJSON: (cls,)}


class PublishedSchema(Struct):
    """The event, or every event of the array, is in the log."""

    id: Id

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {JSON: (cls, PublishedAll)}


class PublishedAll(Struct):
    """Every event of the array is in the log."""

    ids: list[Id]


class PublishedLine(Struct):
    """The outcome of one line: an event id, or an error. Blank lines get no answer."""

    line: Annotated[int, Meta(description="Its number in the body, from 1.")]
    id: Id | UnsetType = UNSET
    error: ProblemSchema | UnsetType = UNSET

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {NDJSON: (cls,)}


class LoggedEvent(Struct):
    """An event as JSON."""

    id: Id
    type: str
    topics: list[str]
    data: Any
    encoding: Encoding | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    private: Private | UnsetType = UNSET


class GapSchema(Struct):
    """Events after `requested`, up to `resumed_after`, are no longer kept."""

    requested: Id
    resumed_after: Id


class StreamPollQuery(Struct):
    """The cursor of a poll, and the time to wait. It begins with the current state without a cursor."""

    after: Cursor | UnsetType = UNSET
    last_event_id: Cursor | UnsetType = UNSET
    wait: Annotated[float, Meta(description="Time to wait when there are no events yet (s).")] | UnsetType = (
        UNSET
    )


class StreamedMessage(Struct):
    """An event, or a message with the current state, which may be without an id."""

    type: str
    data: Any
    id: Id | UnsetType = UNSET
    topics: list[str] | UnsetType = UNSET
    control: Annotated[Literal["message"], Meta(description="In place of an id.")] | UnsetType = UNSET
    encoding: Encoding | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    private: Private | UnsetType = UNSET


class StreamPollAnswerSchema(Struct):
    """The current state if the poll has no cursor, else events; and the cursor for the next poll."""

    events: list[StreamedMessage]
    next: Id
    gap: GapSchema | None
    control: (
        Annotated[
            list[dict[str, Any]],
            Meta(description="Messages to this client alone; `closing` is the last one of a stream."),
        ]
        | UnsetType
    ) = UNSET
    resume_secret: ResumeSecret | UnsetType = UNSET


class PollAnswerSchema(Struct):
    """Events, and the cursor for the next poll."""

    events: list[LoggedEvent]
    next: Id
    gap: GapSchema | None
    control: (
        Annotated[list[dict[str, Any]], Meta(description="Messages to this client alone.")] | UnsetType
    ) = UNSET
    resume_secret: ResumeSecret | UnsetType = UNSET
