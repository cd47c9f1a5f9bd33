"""The structs of requests and responses as ``/openapi.json`` shows them.

A struct describes a JSON body. A struct whose body has other media types says so in a classmethod
``__media_types__``, which returns the types of the body by media type; one whose body may be left out has the
class variable ``body_required``. The OpenAPI component of a class has the class's name without the suffix
``Schema``, which sets a struct apart from the class that it shows.

===============  ========================================================
``common``       media types, problems and headers
``auth``         ``/auth``
``events``       ``/events``
``connections``  ``/connections``
``operations``   health and metrics
``tasks``        ``/tasks``, and the tasks of services
===============  ========================================================

May import msgspec and ``http.json``.
"""

from .auth import RevocationSchema, RevocationsSchema, RevokeSchema, TicketSchema
from .common import (
    NDJSON,
    PROBLEM_JSON,
    AnyJson,
    ConditionHeaders,
    EventStreamText,
    IdempotencyHeaders,
    MediaTypes,
    Nothing,
    OnLimit,
    ProblemSchema,
    ResumeHeaders,
    RetryHeaders,
)
from .connections import (
    BroadcastSchema,
    Connections,
    ConnectionsQuery,
    ConnectionStatus,
    SentSchema,
    Transport,
    UserQuery,
)
from .events import (
    Encoding,
    FollowQuery,
    PollAnswerSchema,
    PollQuery,
    PublishedLine,
    PublishedSchema,
    PublishSchema,
    StreamPollAnswerSchema,
    StreamPollQuery,
    SubscribeHeaders,
    SubscribeQuery,
)
from .operations import (
    HealthSchema,
    MetricsText,
    Readiness,
)
from .tasks import (
    CancelSchema,
    ClaimedSchema,
    NewStep,
    SnapshotSchema,
    TaskOfServiceSchema,
    TaskSchema,
    TasksQuery,
    TasksSchema,
)

__all__ = [
    "NDJSON",
    "PROBLEM_JSON",
    "AnyJson",
    "BroadcastSchema",
    "CancelSchema",
    "ClaimedSchema",
    "ConditionHeaders",
    "ConnectionStatus",
    "Connections",
    "ConnectionsQuery",
    "Encoding",
    "EventStreamText",
    "FollowQuery",
    "HealthSchema",
    "IdempotencyHeaders",
    "MediaTypes",
    "MetricsText",
    "NewStep",
    "Nothing",
    "OnLimit",
    "PollAnswerSchema",
    "PollQuery",
    "ProblemSchema",
    "PublishSchema",
    "PublishedLine",
    "PublishedSchema",
    "Readiness",
    "ResumeHeaders",
    "RetryHeaders",
    "RevocationSchema",
    "RevocationsSchema",
    "RevokeSchema",
    "SentSchema",
    "SnapshotSchema",
    "StreamPollAnswerSchema",
    "StreamPollQuery",
    "SubscribeHeaders",
    "SubscribeQuery",
    "TaskOfServiceSchema",
    "TaskSchema",
    "TasksQuery",
    "TasksSchema",
    "TicketSchema",
    "Transport",
    "UserQuery",
]
