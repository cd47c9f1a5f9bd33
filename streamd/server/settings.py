"""Settings of the server: listeners, HTTP limits, graceful shutdown."""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

import attrs

from ..config import (
    INT32_MAX,
    Check,
    Clash,
    at_most,
    is_host,
    not_negative,
    parse_bind,
    parse_unix_bind,
    positive,
    serialize_origin,
    setting,
    to_toml,
    tuning,
)
from ..proxies import parse_network, parse_prefix
from ..proxies.networks import UNIX


def _is_prefix(text: str) -> bool:
    return not text or (parse_prefix(text) == text and text != "/")


def _is_mode(text: str) -> bool:
    return re.fullmatch(r"0?[0-7]{3}", text, re.ASCII) is not None


_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token (RFC 9110 section 5.6.2)


@attrs.frozen(kw_only=True)
class ServerSettings:
    """Listeners, HTTP limits and graceful shutdown."""

    removed: ClassVar = {
        "accept_pause_seconds": "the pause after EMFILE or ENFILE is 0.1 s",
        "http2_stream_buffer_bytes": "an HTTP/2 stream buffers up to 65_536 bytes",
    }

    bind: list[str] = setting(
        ["127.0.0.1:8080"],
        "Addresses to listen on, each HOST:PORT ([::1]:8080 for IPv6), or unix:/PATH for a Unix socket. Port "
        "0 lets the system choose. A name stands for all of its addresses, localhost for 127.0.0.1 and ::1. "
        "Sockets of the service manager (LISTEN_FDS, systemd's socket activation) take the place of all.",
    )
    unix_mode: str = setting(
        "0666",
        "Permissions of Unix sockets in server.bind, octal. To connect takes the permission to write: 0666 "
        "lets every local user in who reaches the folder, as a TCP port on the loopback does; 0660 only the "
        "server's own user and group.",
        Check("an octal number of permissions, such as 0660", _is_mode),
    )
    certfile: str = setting(
        "",
        "PEM file with the TLS certificate chain. Empty: plain HTTP. HTTP/2 is negotiated by ALPN over TLS, "
        "and by prior knowledge (h2c) without.",
        reload=True,
    )
    keyfile: str = setting("", "PEM file with the TLS private key.", reload=True)
    cors_origins: list[str] = setting(
        [],
        "Origins whose pages may use the API and open its WebSocket, such as https://app.example; "
        '["*"] for all. Empty: only pages of the server\'s own origin may.',
    )
    trusted_proxies: list[str] = setting(
        [],
        "Networks and addresses of proxies whose word is taken for the client's address, scheme and URL "
        'prefix, such as ["127.0.0.1", "::1", "10.0.0.0/8"]: the headers Forwarded or X-Forwarded-For, '
        'X-Forwarded-Proto and X-Forwarded-Prefix. "unix" stands for all peers on Unix sockets. '
        "A proxy must replace or remove each of these headers that a client may send.",
    )
    proxy_protocol: bool = setting(
        False,
        "Every connection begins with a header of the PROXY protocol, version 1 or 2, which names the "
        "client. Others are closed, and so are those of peers that are not in server.trusted_proxies.",
    )
    root_path: str = setting(
        "",
        "URL prefix below which clients see the server, such as /realtime, put before every URL in answers "
        "and events. Requests may arrive with or without it; without it only if no path of the server begins "
        "with it. X-Forwarded-Prefix of a trusted proxy takes its place in answers, not in events.",
        Check("empty, or a path such as /realtime", _is_prefix),
    )
    cors_headers: list[str] = setting(
        [
            "Authorization",
            "Content-Type",
            "Last-Event-ID",
            "Idempotency-Key",
            "Resume-Secret",
            "X-Request-Id",
        ],
        "Request headers that pages of server.cors_origins may send.",
    )
    cors_credentials: bool = setting(
        False,
        "Let pages of server.cors_origins send cookies and read the answers (fetch with credentials: "
        '"include", EventSource withCredentials).',
    )
    hosts: list[str] = setting(
        [],
        "Names that clients may use for the server, each as in the Host of a request, with or without port; "
        '*.example.org for every name below example.org, ["*"] for all. Requests with another Host are '
        "answered 421, except for health checks. Empty: without keys in [auth] localhost and the addresses "
        "that the server listens on, which stops DNS rebinding; with keys, all.",
        reload=True,
    )
    hsts_seconds: int = setting(
        0,
        "Strict-Transport-Security: time for which a browser that has been here over TLS uses nothing else "
        "(s). 0: the header is not sent.",
        not_negative,
        at_most(INT32_MAX),
    )
    drain_seconds: float = setting(
        10.0,
        "Graceful shutdown: time for clients to leave after SIGTERM, before their connections are closed, "
        "and over which their reconnects are spread (s).",
        not_negative,
    )
    grace_seconds: float = tuning(
        2.0, "Graceful shutdown: time for responses in progress after server.drain_seconds (s).", not_negative
    )
    keep_alive_seconds: float = setting(
        30.0,
        "Keep-alive timeout of an idle connection (s). Keep it above that of a proxy in front.",
        positive,
    )
    slow_pass_ms: int = setting(
        100,
        "Duration of a pass of the event loop from which the log has a warning about it, with what ran (ms; "
        "0: never). For `streamd serve` only.",
        not_negative,
        at_most(INT32_MAX),
        reload=True,
    )
    request_head_timeout_seconds: float = tuning(
        10.0,
        "Timeout for a request head, from its first byte, so that a trickling client (slowloris) cannot "
        "extend it; and for that byte, on a connection that has had no request (s).",
        positive,
    )
    write_timeout_seconds: float = tuning(
        60.0, "Timeout of a single socket write; then the connection is aborted (s).", positive
    )
    tls_handshake_timeout_seconds: float = tuning(10.0, "Timeout of a TLS handshake (s).", positive)
    max_request_head_bytes: int = tuning(
        65_536, "Maximum size of a request head: request line and headers (bytes).", positive
    )
    http2_max_concurrent_streams: int = tuning(
        256, "Maximum number of open streams on one HTTP/2 connection (count).", positive, at_most(INT32_MAX)
    )
    max_connections_per_address: int = tuning(
        0,
        "Maximum number of open connections of one address to this process, idle ones included (count; 0: "
        "half of the files that it may open). An IPv6 address counts as its /64. Loopback, Unix sockets and "
        "trusted proxies are not counted.",
        not_negative,
    )
    backlog: int = tuning(
        2048,
        "Maximum number of connections that the kernel queues before they are accepted (count).",
        positive,
        at_most(INT32_MAX),
    )
    accepts_each_pass: int = tuning(
        4, "Maximum number of connections accepted per event-loop pass (count).", positive
    )
    arrivals_each_pass: int = tuning(
        4,
        "Maximum number of connection setups and teardowns per event-loop pass, so that a reconnect storm "
        "cannot starve the fan-out (count).",
        positive,
    )
    tcp_user_timeout_ms: int = tuning(
        60_000,
        "TCP_USER_TIMEOUT: time after which the kernel drops a peer that acknowledges nothing (ms; 0: the "
        "system's default).",
        not_negative,
        at_most(INT32_MAX),
    )
    tcp_notsent_lowat_bytes: int = tuning(
        65_536,
        "TCP_NOTSENT_LOWAT: maximum size of unsent data that the kernel holds for a connection (bytes; 0: "
        "the system's default). Without it a slow consumer takes about 4 MB.",
        not_negative,
        at_most(INT32_MAX),
    )
    send_buffer_bytes: int = tuning(
        0,
        "SO_SNDBUF: size of a connection's send buffer in the kernel (bytes; 0: the system's default, which "
        "grows as needed).",
        not_negative,
        at_most(INT32_MAX),
    )
    gc_tuning: bool = tuning(
        True,
        "Exclude objects of the start-up from Python's garbage collection, and run it less often. For "
        "`streamd serve` only.",
    )
    gc_threshold: int = tuning(
        2_000,
        "With gc_tuning: number of new objects that starts a collection (count); Python's own is 700. A "
        "collection stops everything else: 29 ms were measured at 20_000.",
        positive,
        at_most(INT32_MAX),
    )

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        yield from _address_clashes(self.bind)
        if self.certfile and not self.keyfile:
            yield Clash(("certfile", "keyfile"), "the certificate needs its key: set server.keyfile, too")
        if self.keyfile and not self.certfile:
            yield Clash(("keyfile", "certfile"), "the key needs its certificate: set server.certfile, too")
        yield from _origin_clashes(self.cors_origins)
        yield from _proxy_clashes(self.trusted_proxies)
        if self.proxy_protocol and not self.trusted_proxies:
            right = "no connection would be accepted: name the proxies in server.trusted_proxies"
            yield Clash(("proxy_protocol", "trusted_proxies"), right)
        if self.cors_credentials and "*" in self.cors_origins:
            yield Clash(
                ("cors_credentials", "cors_origins"),
                'pages of all origins ("*") would act as the users that have cookies here: list the origins',
            )
        for name in self.cors_headers:
            if not _HEADER_NAME.fullmatch(name):
                yield Clash(("cors_headers",), f"{to_toml(name)} is not the name of a header")
        yield from _host_clashes(self.hosts)


def _address_clashes(binds: list[str]) -> Iterator[Clash]:
    if not binds:
        yield Clash(("bind",), "must name at least one address, such as 127.0.0.1:8080")
    for bind in dict.fromkeys(binds):
        try:
            port = parse_bind(bind)[1] if parse_unix_bind(bind) is None else True
        except ValueError as error:
            yield Clash(("bind",), f"{to_toml(bind)} is not an address to listen on: {error}")
        else:
            if port and binds.count(bind) > 1:
                yield Clash(("bind",), f"{to_toml(bind)} is listed twice")


def _proxy_clashes(networks: list[str]) -> Iterator[Clash]:
    for network in networks:
        if network != UNIX:
            try:
                parse_network(network)
            except ValueError as error:
                yield Clash(("trusted_proxies",), f"{to_toml(network)} is not a network: {error}")


def _host_clashes(hosts: list[str]) -> Iterator[Clash]:
    if "*" in hosts and len(hosts) > 1:
        yield Clash(("hosts",), '"*" already allows every name: list it alone, or not at all')
    for host in hosts:
        if host != "*" and not is_host(host.removeprefix("*.")):
            advice = "write it like example.org, [::1]:8080 or *.example.org"
            yield Clash(("hosts",), f"{to_toml(host)} is not a host: {advice}")


def _origin_clashes(origins: list[str]) -> Iterator[Clash]:
    if "*" in origins and len(origins) > 1:
        yield Clash(("cors_origins",), '"*" already allows every origin: list it alone, or not at all')
    for origin in origins:
        if origin != "*" and (right := serialize_origin(origin)) != origin:
            advice = f"browsers send {right}" if right else "write it like https://app.example"
            yield Clash(("cors_origins",), f"{to_toml(origin)} is not an origin: {advice}")
