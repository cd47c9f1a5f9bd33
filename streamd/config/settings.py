"""Every setting of streamd: its name, type, unit, default and reason.

One frozen class a section. A name carries its unit; the help text is what ``conf/streamd.toml`` prints
above the setting. Zero means "no limit" only where the text says so.
"""

import attrs

from .fields import INT32_MAX, at_most, not_negative, one_of, positive, setting
from .services import (
    BrandMonitorSettings,
    PurchaseOrderSettings,
    ResearchSettings,
    SentimentSettings,
    StoreSettings,
    StrategySettings,
    TaskSettings,
    TextSettings,
)


@attrs.frozen(kw_only=True)
class ServerSettings:
    """Listeners, HTTP limits and the way down."""

    bind: list[str] = setting(
        ["127.0.0.1:8080"],
        "Addresses to listen on, each HOST:PORT ([::1]:8080 for IPv6); port 0 lets the system choose.",
    )
    certfile: str = setting(
        "",
        "PEM file with the TLS certificate chain. Empty: plain HTTP. HTTP/2 is offered by ALPN over TLS, "
        "and with prior knowledge (h2c) without.",
    )
    keyfile: str = setting("", "PEM file with the TLS private key.")
    backlog: int = setting(
        2048,
        "Connections the kernel may hold before they are accepted (count).",
        positive,
        at_most(INT32_MAX),
    )
    accepts_each_pass: int = setting(
        4,
        "Connections accepted before those that are open have their turn (count).",
        positive,
    )
    accept_pause_seconds: float = setting(
        0.1,
        "When open files have run out, no connection is accepted for so long (s); then it is tried again.",
        positive,
    )
    arrivals_each_pass: int = setting(
        4,
        "Connections that are begun or ended before everybody else has a turn (count). After a restart all "
        "clients come at once, and would hold up those who are in already.",
        positive,
    )
    drain_seconds: float = setting(
        10.0,
        "After SIGTERM: how long clients have to leave before their connections are closed (s). Their "
        "reconnects are spread over the same time.",
        not_negative,
    )
    grace_seconds: float = setting(
        2.0,
        "After draining: how long ordinary answers under way have before their sockets are closed (s).",
        not_negative,
    )
    write_timeout_seconds: float = setting(
        60.0,
        "A single socket write that takes longer aborts its connection (s): the peer has stopped reading.",
        positive,
    )
    keep_alive_seconds: float = setting(
        30.0,
        "An idle kept-alive connection is closed after this (s).",
        positive,
    )
    request_head_timeout_seconds: float = setting(
        10.0,
        "A request whose head takes longer from its first byte is given up (s).",
        positive,
    )
    tls_handshake_timeout_seconds: float = setting(
        10.0,
        "A TLS handshake that takes longer is given up (s).",
        positive,
    )
    tcp_user_timeout_ms: int = setting(
        60_000,
        "TCP_USER_TIMEOUT: the kernel drops a peer that acknowledges nothing for this long (ms; 0 leaves "
        "the system's default).",
        not_negative,
        at_most(INT32_MAX),
    )
    tcp_notsent_lowat_bytes: int = setting(
        65_536,
        "TCP_NOTSENT_LOWAT: unsent bytes the kernel may hold for a connection (bytes; 0 leaves the "
        "system's default). Without it a stalled reader takes in about 4 MB.",
        not_negative,
        at_most(INT32_MAX),
    )
    send_buffer_bytes: int = setting(
        0,
        "SO_SNDBUF: the kernel's send buffer of a connection (bytes; 0 leaves the system's default, which "
        "grows as needed).",
        not_negative,
        at_most(INT32_MAX),
    )
    http2_max_concurrent_streams: int = setting(
        256,
        "Streams a client may have open on one HTTP/2 connection (count).",
        positive,
        at_most(INT32_MAX),
    )
    http2_stream_buffer_bytes: int = setting(
        65_536,
        "Bytes that may wait for the window of one HTTP/2 stream before what feeds it has to wait (bytes).",
        positive,
    )
    max_request_head_bytes: int = setting(
        65_536,
        "Largest request head: request line and headers (bytes).",
        positive,
    )
    gc_tuning: bool = setting(
        True,
        "Keep Python's garbage collector from going through all connections again and again: what the "
        "start has made is frozen, and the rest is looked at less often. For `streamd serve` alone.",
    )
    gc_threshold: int = setting(
        20_000,
        "With gc_tuning: new objects before the collector looks at them (count); Python's own is 700. A look "
        "holds everything up; at 50,000 one of 37 ms was seen.",
        positive,
        at_most(INT32_MAX),
    )
    cors_origins: list[str] = setting(
        [],
        "Origins whose pages may read the API and open its WebSocket, such as https://app.example; "
        '["*"] for all. Empty: only pages of the server\'s own origin may.',
    )


@attrs.frozen(kw_only=True)
class LogSettings:
    """Where events are kept for replay, and for how long."""

    url: str = setting(
        "memory:",
        "Which log: memory: keeps events in this process; they do not survive a restart.",
    )
    max_events: int = setting(100_000, "Events kept in all (count); the oldest go first.", positive)
    max_bytes: int = setting(
        268_435_456,
        "Bytes of events kept in all (bytes of topics, type and data).",
        positive,
    )
    max_age_seconds: float = setting(86_400.0, "Events older than this go (s).", positive)
    topic_max_events: int = setting(10_000, "Events kept under one topic (count).", positive)
    topic_max_bytes: int = setting(33_554_432, "Bytes of events kept under one topic (bytes).", positive)
    topic_max_age_seconds: float = setting(
        86_400.0,
        "Events under a topic older than this go (s); the shorter of this and max_age_seconds holds.",
        positive,
    )
    max_truncation_records: int = setting(
        100_000,
        "Topics for which the log remembers how far it dropped events (count); beyond it the oldest are "
        "folded into one record, which may report a gap where there was none.",
        positive,
    )


@attrs.frozen(kw_only=True)
class EventSettings:
    """What one event, and one request that publishes, may be."""

    max_event_bytes: int = setting(
        1_048_576,
        "Largest event: topics, type and data (bytes). A larger one is refused with 413.",
        positive,
    )
    max_topics_per_event: int = setting(16, "Topics one event may be published under (count).", positive)
    max_topic_bytes: int = setting(1024, "Longest topic (bytes of UTF-8).", positive)
    max_body_bytes: int = setting(
        8_388_608,
        "Largest body of a request (bytes). NDJSON that comes in chunks is bounded by the line instead.",
        positive,
    )
    max_line_bytes: int = setting(2_097_152, "Longest line of NDJSON (bytes).", positive)
    body_timeout_seconds: float = setting(60.0, "A body that arrives slower is refused (s).", positive)
    max_idempotency_key_bytes: int = setting(256, "Longest idempotency key (bytes of UTF-8).", positive)
    max_batch_events: int = setting(1000, "Events in one JSON array (count).", positive)


@attrs.frozen(kw_only=True)
class HubSettings:
    """The fan-out: from the log's tail to subscriptions."""

    channel_capacity: int = setting(
        256,
        "Events waiting for one subscriber before its overflow policy applies (count).",
        positive,
    )
    channel_bytes: int = setting(
        1_048_576,
        "Bytes of events waiting for one subscriber before its overflow policy applies (bytes); a single "
        "event may have more.",
        positive,
    )
    batch_events: int = setting(256, "Events the fan-out takes from the log in one turn (count).", positive)
    batch_bytes: int = setting(
        262_144,
        "Bytes the fan-out takes from the log in one turn, and a subscriber's page of replay (bytes).",
        positive,
    )
    ring_events: int = setting(
        1024,
        "Events kept at hand so that a resuming subscriber joins without reading the log (count).",
        positive,
    )
    ring_bytes: int = setting(
        8_388_608,
        "Bytes of events kept at hand for that (bytes of topics, type and data).",
        positive,
    )
    max_lag_events: int = setting(
        20_000,
        "Events published but not yet fanned out before publishing is refused with 503 (count).",
        positive,
    )
    turn_ms: float = setting(
        0.1,
        "The fan-out lets other tasks run this often (ms), and goes on for as long as these took. Short "
        "turns let further events be published while one is fanned out, which then go out together.",
        positive,
    )
    max_turn_ms: float = setting(2.0, "The longest turn of the fan-out (ms).", positive)
    pattern_cache_topics: int = setting(
        10_000,
        "Topics whose matching patterns are remembered (count).",
        positive,
    )


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """How many clients, how they are kept, and when they are let go."""

    max_connections: int = setting(
        10_000,
        "Connections at once (count); the next is answered 503 with Retry-After.",
        positive,
    )
    max_per_user: int = setting(
        0,
        "Connections of one user at once (count; 0: no limit of its own).",
        not_negative,
    )
    max_per_address: int = setting(
        0,
        "Connections from one address at once (count; 0: no limit of its own).",
        not_negative,
    )
    retry_after_seconds: float = setting(5.0, "What Retry-After says when there is no place (s).", positive)
    max_topics: int = setting(100, "Topics and patterns one subscription may name (count).", positive)
    max_pattern_bytes: int = setting(1024, "Longest pattern (bytes of UTF-8).", positive)
    heartbeat_seconds: float = setting(
        15.0,
        "A connection that was quiet for this long gets a heartbeat (s).",
        positive,
    )
    min_heartbeat_seconds: float = setting(
        1.0,
        "The shortest heartbeat a client may ask for (s).",
        positive,
    )
    max_heartbeat_seconds: float = setting(
        300.0,
        "The longest heartbeat a client may ask for (s).",
        positive,
    )
    unhealthy_seconds: float = setting(
        30.0,
        "Queued bytes that make no progress for this long make a connection unhealthy (s).",
        positive,
    )
    stale_seconds: float = setting(
        120.0,
        "Queued bytes that make no progress for this long make it stale; it is then closed (s).",
        positive,
    )
    sweep_seconds: float = setting(
        1.0,
        "How often connections are looked at for heartbeats, health and lifetime (s).",
        positive,
    )
    max_lifetime_seconds: float = setting(
        0.0,
        "A connection is ended with `closing` after this, to reconnect (s; 0: no limit).",
        not_negative,
    )
    lifetime_jitter: float = setting(
        0.1,
        "How much of the lifetime is random, so that clients do not return all at once (0 to 1).",
        not_negative,
        at_most(1),
    )
    retry_ms: int = setting(
        2000,
        "Reconnection time sent to SSE clients when a stream opens (ms, WHATWG `retry`).",
        not_negative,
    )
    replaced_retry_ms: int = setting(
        86_400_000,
        "Reconnection time for a client that another with its client id replaced (ms): it should not come "
        "back by itself, or the two would replace each other for ever.",
        not_negative,
        at_most(INT32_MAX),
    )
    max_client_id_chars: int = setting(128, "Longest client id (count of characters).", positive)
    max_listed: int = setting(1000, "Connections that /connections lists at most (count).", positive)
    max_message_bytes: int = setting(65_536, "Largest message a WebSocket client may send (bytes).", positive)


@attrs.frozen(kw_only=True)
class PollSettings:
    """Long-poll, for networks that spoil streams."""

    wait_seconds: float = setting(
        25.0,
        "How long a poll waits when the client does not say (s).",
        not_negative,
    )
    max_wait_seconds: float = setting(55.0, "The longest wait a client may ask for (s).", positive)
    max_events: int = setting(500, "Events in one answer (count).", positive)


@attrs.frozen(kw_only=True)
class MetricsSettings:
    """The Prometheus endpoint."""

    max_type_labels: int = setting(
        50,
        "Event types that get a label value of their own (count); later ones are counted as `other`.",
        positive,
    )


@attrs.frozen(kw_only=True)
class LoggingSettings:
    """What streamd writes to standard error."""

    level: str = setting(
        "info",
        "Least severity that is written: debug, info, warning or error.",
        one_of("debug", "info", "warning", "error"),
    )
    format: str = setting("console", "console for people, json for machines.", one_of("console", "json"))


@attrs.frozen(kw_only=True)
class DemoSettings:
    """The built-in sources: this machine's figures, and files followed line by line."""

    enabled: bool = setting(False, "Publish this machine's CPU, memory, disk and network figures.")
    topic: str = setting("host/metrics", "Topic of the figures.")
    interval_seconds: float = setting(1.0, "Time between two figures (s).", positive)
    follow: list[str] = setting([], "Files to follow line by line.")
    follow_topic: str = setting(
        "files/{name}",
        "Topic of a followed file's lines; {name} is the file's name.",
    )


@attrs.frozen(kw_only=True)
class Settings:
    """All sections."""

    server: ServerSettings = attrs.field(factory=ServerSettings)
    log: LogSettings = attrs.field(factory=LogSettings)
    events: EventSettings = attrs.field(factory=EventSettings)
    hub: HubSettings = attrs.field(factory=HubSettings)
    connections: ConnectionSettings = attrs.field(factory=ConnectionSettings)
    poll: PollSettings = attrs.field(factory=PollSettings)
    metrics: MetricsSettings = attrs.field(factory=MetricsSettings)
    logging: LoggingSettings = attrs.field(factory=LoggingSettings)
    demo: DemoSettings = attrs.field(factory=DemoSettings)
    store: StoreSettings = attrs.field(factory=StoreSettings)
    tasks: TaskSettings = attrs.field(factory=TaskSettings)
    text: TextSettings = attrs.field(factory=TextSettings)
    research: ResearchSettings = attrs.field(factory=ResearchSettings)
    sentiment: SentimentSettings = attrs.field(factory=SentimentSettings)
    strategy: StrategySettings = attrs.field(factory=StrategySettings)
    brand_monitor: BrandMonitorSettings = attrs.field(factory=BrandMonitorSettings)
    purchase_orders: PurchaseOrderSettings = attrs.field(factory=PurchaseOrderSettings)
