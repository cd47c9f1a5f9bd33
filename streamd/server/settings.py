"""Settings of the server: listeners, HTTP limits, graceful shutdown."""

from collections.abc import Iterator

import attrs

from ..config import (
    INT32_MAX,
    Clash,
    at_most,
    not_negative,
    parse_bind,
    positive,
    serialize_origin,
    setting,
    to_toml,
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

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from _address_clashes(self.bind)
        if self.certfile and not self.keyfile:
            yield Clash(("certfile", "keyfile"), "the certificate needs its key: set server.keyfile too")
        if self.keyfile and not self.certfile:
            yield Clash(("keyfile", "certfile"), "the key needs its certificate: set server.certfile too")
        yield from _origin_clashes(self.cors_origins)


def _address_clashes(binds: list[str]) -> Iterator[Clash]:
    if not binds:
        yield Clash(("bind",), "must name at least one address, such as 127.0.0.1:8080")
    for bind in dict.fromkeys(binds):
        try:
            _, port = parse_bind(bind)
        except ValueError as error:
            yield Clash(("bind",), f"{to_toml(bind)} is no address to listen on: {error}")
        else:
            if port and binds.count(bind) > 1:
                yield Clash(("bind",), f"{to_toml(bind)} is named twice")


def _origin_clashes(origins: list[str]) -> Iterator[Clash]:
    if "*" in origins and len(origins) > 1:
        yield Clash(("cors_origins",), '"*" already means every origin: name it alone, or leave it out')
    for origin in origins:
        if origin != "*" and (right := serialize_origin(origin)) != origin:
            advice = f"browsers send {right}" if right else "write it like https://app.example"
            yield Clash(("cors_origins",), f"{to_toml(origin)} is no origin: {advice}")
