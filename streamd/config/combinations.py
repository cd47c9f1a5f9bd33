"""What a type and a bound cannot say: texts of a certain form, and settings that contradict each other."""

import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs

from .bind import parse_bind
from .convert import to_toml
from .settings import Settings

KNOWN_LOG_URLS = ("memory:",)
KNOWN_STORE_URLS = ("sqlite:PATH", "memory:")

# (a, b, why): a must not be more than b.
_ORDERED = (
    (
        "connections.unhealthy_seconds",
        "connections.stale_seconds",
        "a connection is unhealthy before it is stale",
    ),
    (
        "connections.min_heartbeat_seconds",
        "connections.max_heartbeat_seconds",
        "clients choose between them",
    ),
    ("poll.wait_seconds", "poll.max_wait_seconds", "the wait by default is one a client may ask for"),
    ("tasks.timeout_seconds", "tasks.max_timeout_seconds", "callers may ask for as much as the default"),
    ("tasks.lease_seconds", "tasks.max_lease_seconds", "workers may ask for as much as the default"),
    ("tasks.max_event_result_bytes", "tasks.max_result_bytes", "the last event holds no more than a result"),
    ("tasks.max_event_result_bytes", "events.max_event_bytes", "the last event must hold the result"),
    ("log.max_age_seconds", "tasks.gone_seconds", "an id may be used again when the log has forgotten it"),
    ("sentiment.metrics_min_seconds", "sentiment.metrics_max_seconds", "metrics are due between them"),
    ("hub.turn_ms", "hub.max_turn_ms", "a turn of the fan-out lies between them"),
    ("hub.batch_events", "hub.ring_events", "the ring must hold a whole turn"),
    ("events.max_event_bytes", "log.max_bytes", "the log must hold the largest event"),
    ("events.max_event_bytes", "log.topic_max_bytes", "a topic must hold the largest event"),
    ("log.topic_max_events", "log.max_events", "one topic cannot keep more than all of them"),
    ("hub.max_lag_events", "log.max_events", "the log must keep what the fan-out has not taken yet"),
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Clash:
    """Settings that cannot be used as they stand."""

    paths: tuple[str, ...]
    right: str


def value_at(settings: Settings, path: str) -> Any:
    """The value of a setting by its dotted path."""
    section, name = path.split(".")
    return getattr(getattr(settings, section), name)


def clashes(settings: Settings) -> Iterator[Clash]:
    """Everything about ``settings`` that cannot be, in plain sentences."""
    server = settings.server
    yield from _wrong_addresses(server.bind)
    if server.certfile and not server.keyfile:
        yield Clash(
            ("server.certfile", "server.keyfile"), "the certificate needs its key: set server.keyfile too"
        )
    if server.keyfile and not server.certfile:
        yield Clash(
            ("server.keyfile", "server.certfile"), "the key needs its certificate: set server.certfile too"
        )
    yield from _wrong_origins(server.cors_origins)
    if settings.log.url not in KNOWN_LOG_URLS:
        yield Clash(("log.url",), "must be one of the known logs: " + ", ".join(KNOWN_LOG_URLS))
    scheme, _, path = settings.store.url.partition(":")
    if settings.store.url and (scheme, bool(path)) not in (("memory", False), ("sqlite", True)):
        yield Clash(("store.url",), "must be one of the known stores: " + ", ".join(KNOWN_STORE_URLS))
    if settings.text.url and not settings.text.model:
        yield Clash(("text.url", "text.model"), "the API needs to be told a model: set text.model too")
    if settings.text.url and not settings.text.url.startswith(("http://", "https://")):
        yield Clash(("text.url",), "must be a URL that begins with http:// or https://")
    if not _fills_only_name(settings.demo.follow_topic):
        yield Clash(
            ("demo.follow_topic",), "{name} is the only thing it can fill in; write {{ and }} for braces"
        )
    for smaller, larger, why in _ORDERED:
        if value_at(settings, smaller) > value_at(settings, larger):
            yield Clash((smaller, larger), f"must not be more than {larger}: {why}")


def _wrong_addresses(binds: list[str]) -> Iterator[Clash]:
    if not binds:
        yield Clash(("server.bind",), "must name at least one address, such as 127.0.0.1:8080")
    for bind in dict.fromkeys(binds):
        try:
            _, port = parse_bind(bind)
        except ValueError as error:
            yield Clash(("server.bind",), f"{to_toml(bind)} is no address to listen on: {error}")
        else:
            if port and binds.count(bind) > 1:
                yield Clash(("server.bind",), f"{to_toml(bind)} is named twice")


def _wrong_origins(origins: list[str]) -> Iterator[Clash]:
    if "*" in origins and len(origins) > 1:
        yield Clash(
            ("server.cors_origins",), '"*" already means every origin: name it alone, or leave it out'
        )
    for origin in origins:
        if origin != "*" and (right := _origin_as_browsers_send_it(origin)) != origin:
            advice = f"browsers send {right}" if right else "write it like https://app.example"
            yield Clash(("server.cors_origins",), f"{to_toml(origin)} is no origin: {advice}")


def _origin_as_browsers_send_it(text: str) -> str | None:
    """The serialized origin (RFC 6454 section 6.2) that ``text`` means; None if it means none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host or not host.isascii() or "@" in parts.netloc:
        return None
    if any(char.isspace() or char in '*,"' for char in text):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def _fills_only_name(template: str) -> bool:
    try:
        fields = [
            (name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template)
        ]
    except ValueError:
        return False
    return all(field == ("name", "", None) for field in fields if field[0] is not None)
