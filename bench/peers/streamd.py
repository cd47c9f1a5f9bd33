"""streamd itself: on its own server, under stock Hypercorn, and through a view of an application."""

import sys
from collections.abc import Mapping
from importlib import metadata
from typing import ClassVar

from ..publisher import TOPIC, Encoding
from .base import BACKLOG, HOST, Ability, Peer, Place, Setup

_LEAST_KEPT_EVENTS = 100_000  # streamd's default; other bounds expect no less
_EVENT_BYTES = 4_096  # room for each event that is kept


class Streamd(Peer):
    """`streamd serve` with its defaults, but for the bounds a scenario needs.

    Args:
        name: what the tables call it.
        settings: further settings, by environment variable.
    """

    about = "streamd serve"
    ours = True
    announces = True
    abilities: ClassVar = frozenset(Ability)
    subscribe_path = f"/events?topic={TOPIC}"
    replay_path = f"/events?topic={TOPIC}&last_event_id=earliest"
    encoding = Encoding.JSON

    def __init__(self, name: str = "streamd", settings: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._settings = settings or {}

    def version(self) -> str:
        return metadata.version("streamd")

    def command(self, setup: Setup, place: Place) -> list[str]:
        return [sys.executable, "-m", "streamd", "serve", "--bind", f"{HOST}:{place.port}"]

    def environment(self, setup: Setup, place: Place) -> Mapping[str, str]:
        variables = {
            "STREAMD_CONNECTIONS__MAX_CONNECTIONS": str(setup.connections),
            "STREAMD_STORE__URL": "memory:",  # not a file in whatever folder this runs
        }
        if setup.keep_events:
            kept = max(setup.keep_events, _LEAST_KEPT_EVENTS)
            for scope in ("", "TOPIC_"):
                variables[f"STREAMD_LOG__{scope}MAX_EVENTS"] = str(kept)
                variables[f"STREAMD_LOG__{scope}MAX_BYTES"] = str(kept * _EVENT_BYTES)
        if place.certificate is not None:
            variables["STREAMD_SERVER__CERTFILE"] = str(place.certificate.chain)
            variables["STREAMD_SERVER__KEYFILE"] = str(place.certificate.key)
        return {**variables, **self._settings}


class StreamdView(Streamd):
    """streamd's server with an application that streams from a view of its own."""

    about = "streamd's server, a Quart view that returns event_stream()"
    subscribe_path = "/view"

    def __init__(self) -> None:
        super().__init__("streamd-view")

    def command(self, setup: Setup, place: Place) -> list[str]:
        return [sys.executable, "-m", "streamd_view"]

    def environment(self, setup: Setup, place: Place) -> Mapping[str, str]:
        return {**super().environment(setup, place), "STREAMD_SERVER__BIND": f"{HOST}:{place.port}"}


class StreamdASGI(Streamd):
    """The same application on the plain ASGI wire."""

    about = "streamd's application under stock Hypercorn, trio worker"
    announces = False

    def __init__(self) -> None:
        super().__init__("streamd-asgi")

    def command(self, setup: Setup, place: Place) -> list[str]:
        return hypercorn_command("streamd_asgi:app", place)


def hypercorn_command(app: str, place: Place) -> list[str]:
    """Stock Hypercorn with its trio worker and, but for the backlog, its defaults."""
    command = [sys.executable, "-m", "hypercorn", "-k", "trio", "--bind", f"{HOST}:{place.port}"]
    command += ["--backlog", str(BACKLOG)]
    if place.certificate is not None:
        command += ["--certfile", str(place.certificate.chain), "--keyfile", str(place.certificate.key)]
    return [*command, app]
