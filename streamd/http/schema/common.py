"""The parts of several routes: media types, problems, headers."""

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ..json import JSON

NDJSON: Final = "application/x-ndjson"
PROBLEM_JSON: Final = "application/problem+json"

MediaTypes = dict[str, tuple[Any, ...]]
"""By media type, the types that a body may have."""

Id = Annotated[str, Meta(pattern=r"^[0-9]{13}-[0-9]{6}$", description="An event id; ids sort as strings.")]
Cursor = Annotated[
    str, Meta(description="The event id after which to resume, or `earliest` for all kept events.")
]
OnLimit = Annotated[
    Literal["error", "retry"],
    Meta(
        description="The answer when there is no room: `error` is 503 or 429, after which EventSource gives "
        "up; `retry` is a stream that ends at once and says when to come back. By default as configured."
    ),
]
Time = Annotated[str, Meta(description="RFC 3339, in UTC.")]


class ProblemSchema(Struct):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: Annotated[str, Meta(description="Stable, for programs.")]
    detail: str
    field: Annotated[str, Meta(description="The input that is wrong, if one is.")] | UnsetType = UNSET

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {PROBLEM_JSON: (cls,)}


class RetryHeaders(Struct):
    """The time of the next try."""

    retry_after: Annotated[int, Meta(description="Delay before a retry (s).")] | UnsetType = field(
        default=UNSET, name="Retry-After"
    )


class ResumeHeaders(Struct):
    """The cursor as browsers send it; it takes precedence over those in the query."""

    last_event_id: Cursor | UnsetType = field(default=UNSET, name="Last-Event-ID")


class ConditionHeaders(Struct):
    """The conditions of a request, by entity tags or `*` (RFC 9110 section 13)."""

    if_match: Annotated[str, Meta(description="412 unless it names the `ETag`.")] | UnsetType = field(
        default=UNSET, name="If-Match"
    )
    if_none_match: (
        Annotated[str, Meta(description="If it names the `ETag`: 304 to GET, 412 to a change.")] | UnsetType
    ) = field(default=UNSET, name="If-None-Match")


class IdempotencyHeaders(Struct):
    """The key of a request that creates a resource."""

    idempotency_key: (
        Annotated[
            str,
            Meta(
                pattern=r'^([!#-+\--~]{1,255}|"[!#-\[\]-~]{1,255}")$',
                description="Marks retries: the same key with the same content creates one resource.",
            ),
        ]
        | UnsetType
    ) = field(default=UNSET, name="Idempotency-Key")


class EventStreamText(Struct):
    """Server-Sent Events, until the client or the server ends the stream (WHATWG HTML section 9.2)."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {"text/event-stream": (str,)}


class AnyJson(Struct):
    """Any JSON value."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {JSON: (Any,)}


class Nothing(Struct):
    """No body."""

    @classmethod
    def __media_types__(cls) -> MediaTypes:
        return {}
