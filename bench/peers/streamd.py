"""streamd: on its own server, in memory or with SQLite, under stock Hypercorn, and through a view."""

import os
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from streamd.auth.compact import sign_token
from streamd.auth.generate import generate_secret
from streamd.auth.key_formats import read_secret

from ..missing import Missing
from ..publisher import TOPIC, Encoding
from .base import APPS, BACKLOG, HOST, Ability, Peer, Setup, Workspace

_MIN_KEPT_EVENTS = 100_000  # streamd's default, which its other limits are checked against
_TOKEN_SECONDS = 86_400.0
_EVENT_BYTES = 4_096  # allowance for each kept event


class Streamd(Peer):
    """`streamd serve` with its defaults, except for the limits that a scenario needs, in memory.

    Args:
        name: in the tables.
        settings: further settings, by environment variable.
    """

    about = "streamd serve, its log and store in memory"
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

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        return [sys.executable, "-m", "streamd", "serve", "--bind", f"{HOST}:{workspace.port}"]

    def environment(self, setup: Setup, workspace: Workspace) -> Mapping[str, str]:
        variables = {
            "STREAMD_CONNECTIONS__MAX_CONNECTIONS": str(setup.connections),
            "STREAMD_STORE__URL": "memory:",  # no file in the current folder
            "STREAMD_LOG__URL": "memory:",
        }
        if setup.keep_events:
            kept = max(setup.keep_events, _MIN_KEPT_EVENTS)
            for scope in ("", "TOPIC_"):
                variables[f"STREAMD_LOG__{scope}MAX_EVENTS"] = str(kept)
                variables[f"STREAMD_LOG__{scope}MAX_BYTES"] = str(kept * _EVENT_BYTES)
        if workspace.certificate is not None:
            variables["STREAMD_SERVER__CERTFILE"] = str(workspace.certificate.chain)
            variables["STREAMD_SERVER__KEYFILE"] = str(workspace.certificate.key)
        return {**variables, **self._settings}


class StreamdToken(Streamd):
    """`streamd serve` with a key; every request has the same token, which may publish and read the topic."""

    about = "streamd serve with a key, its log and store in memory; requests with a token"
    abilities: ClassVar = frozenset({Ability.ARRAY, Ability.NDJSON, Ability.REPLAY})

    def __init__(self) -> None:
        secret = generate_secret("HS256")
        super().__init__("streamd-token", {"STREAMD_AUTH__KEYS": secret})
        claims = {
            "sub": "bench",
            "publish": [TOPIC],
            "subscribe": [TOPIC],
            "exp": time.time() + _TOKEN_SECONDS,
        }
        self.header = f"Authorization: Bearer {sign_token(read_secret(secret), claims)}"


class StreamdSQLite(Streamd):
    """`streamd serve` with a file of a temporary folder.

    Args:
        name: in the tables.
        log: the file has the log, too; False leaves that in memory.
    """

    def __init__(self, name: str = "streamd-sqlite", *, log: bool = True) -> None:
        super().__init__(name)
        self.about = f"streamd serve, its {'log and store' if log else 'store'} in a SQLite file"
        self._variables = ("STREAMD_STORE__URL", "STREAMD_LOG__URL")[: 1 + log]

    def environment(self, setup: Setup, workspace: Workspace) -> Mapping[str, str]:
        url = f"sqlite:{workspace.directory / 'streamd.db'}"
        return {**super().environment(setup, workspace), **dict.fromkeys(self._variables, url)}


class StreamdOther(Streamd):
    """`streamd serve` of another checkout, with the packages of this one."""

    about = "streamd serve of the checkout that BENCH_OTHER names, its log and store in memory"
    ours = False

    def __init__(self) -> None:
        super().__init__("streamd-other")

    def version(self) -> str:
        return str(self._checkout())

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        # -P: without the current folder, which is this checkout.
        return [sys.executable, "-P", "-m", "streamd", "serve", "--bind", f"{HOST}:{workspace.port}"]

    def environment(self, setup: Setup, workspace: Workspace) -> Mapping[str, str]:
        return {**super().environment(setup, workspace), "PYTHONPATH": f"{self._checkout()}:{APPS}"}

    def _checkout(self) -> Path:
        checkout = Path(os.environ.get("BENCH_OTHER") or "-").resolve()
        if not (checkout / "streamd").is_dir():
            raise Missing("BENCH_OTHER does not name another checkout")
        return checkout


class StreamdView(Streamd):
    """streamd's server with an application that streams from its own view."""

    about = "streamd's server, a Quart view that returns event_stream()"
    subscribe_path = "/view"

    def __init__(self) -> None:
        super().__init__("streamd-view")

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        return [sys.executable, "-m", "streamd_view"]

    def environment(self, setup: Setup, workspace: Workspace) -> Mapping[str, str]:
        return {**super().environment(setup, workspace), "STREAMD_SERVER__BIND": f"{HOST}:{workspace.port}"}


class StreamdASGI(Streamd):
    """streamd's application under stock Hypercorn, without direct writes."""

    about = "streamd's application under stock Hypercorn, trio worker"
    announces = False

    def __init__(self) -> None:
        super().__init__("streamd-asgi")

    def command(self, setup: Setup, workspace: Workspace) -> list[str]:
        return hypercorn_command("streamd_asgi:app", workspace)


def hypercorn_command(app: str, workspace: Workspace) -> list[str]:
    """Return the command of stock Hypercorn: its trio worker, and its defaults except for the backlog."""
    command = [sys.executable, "-m", "hypercorn", "-k", "trio", "--bind", f"{HOST}:{workspace.port}"]
    command += ["--backlog", str(BACKLOG)]
    if workspace.certificate is not None:
        command += [
            "--certfile",
            str(workspace.certificate.chain),
            "--keyfile",
            str(workspace.certificate.key),
        ]
    return [*command, app]
