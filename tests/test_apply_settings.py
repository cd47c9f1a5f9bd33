"""Each setting that says so takes effect in a running server."""

import json
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Final

import attrs
import httpx
import pytest
import trio

from streamd.app import create_app
from streamd.config import plan_reload
from streamd.config.fields import settings_of
from streamd.config.load import with_values
from streamd.connections import Identity
from streamd.errors import TooManyForCaller
from streamd.events import EARLIEST, Selectors
from streamd.http.current import EXTENSION
from streamd.hub import SendQueue
from streamd.log.settings import RetentionRule
from streamd.settings import Settings
from streamd.tasks import Kind, Progress, Status
from streamd.testing import RunningServer, StreamRefused, open_stream, run_server
from tests.support.addressed import give_addresses
from tests.support.auth_effects import AUTH_EFFECTS

BY_THE_SERVER: Final = (
    "server.certfile",
    "server.keyfile",
    "server.slow_pass_ms",
    "logging.level",
    "logging.format",
    "tuning.logging.max_lines_per_second",
)
"""Settings that the server itself applies, with tests in tests/e2e/test_reload.py."""
RELOADED: Final = [
    each.path
    for each in settings_of(Settings).values()
    if each.reload and each.path not in (*BY_THE_SERVER, *AUTH_EFFECTS)
]


@attrs.frozen
class Probe:
    """A running server, whose effect of a setting is looked at."""

    server: RunningServer
    http: httpx.AsyncClient

    async def counted(self, count: int, path: str, **query: Any) -> bool:
        """Return True if exactly ``count`` streams may be open at once."""
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                await nursery.start(self._hold, path, query)
            try:
                async with open_stream(self.server.url, path=path, **query):
                    return False
            except StreamRefused as refused:
                return refused.status in (429, 503)
            finally:
                nursery.cancel_scope.cancel()

    async def _hold(self, path: str, query: dict[str, Any], task_status: trio.TaskStatus[None]) -> None:
        async with open_stream(self.server.url, path=path, **query) as stream:
            await stream.next_control("connected")
            task_status.started()
            await trio.sleep_forever()

    async def kept_events(self, count: int, size: int = 10) -> int:
        """Publish events, and count those that the log keeps."""
        for _ in range(count):
            event = {"topic": "kept", "data": "x" * size}
            assert (await self.http.post("/events", json=event)).status_code == 201
        log = self.server.streamd.runtime.broker.log
        page = await log.read(Selectors(topics=("kept",)), EARLIEST, max_events=1000, max_bytes=10**9)
        return len(page.events)


async def all_streams(probe: Probe) -> bool:
    return await probe.counted(2, "/events", topic="a")


async def the_second_stream_is_told_to_come_back(probe: Probe) -> bool:
    async with open_stream(probe.server.url, topic="a") as stream:
        await stream.next_control("connected")
        answer = await probe.http.get("/events?topic=a")
    return answer.status_code == 200 and answer.text.startswith("event: closing\nretry:")


async def control_is_on(probe: Probe) -> bool:
    local = {"Test-Address": "127.0.0.1"}
    return (
        await probe.http.post("/connections/broadcast", json={"data": 1}, headers=local)
    ).status_code == 200


async def dashboards(probe: Probe) -> bool:
    return await probe.counted(2, "/api/v2/stream")


async def merchants(probe: Probe) -> bool:
    return await probe.counted(2, "/api/realtime/events", merchantId="m")


async def five_kept(probe: Probe) -> bool:
    return await probe.kept_events(8) == 5


async def two_large_ones_kept(probe: Probe) -> bool:
    return await probe.kept_events(5, size=30_000) == 2


async def two_of_one_user(probe: Probe) -> bool:
    connections = probe.server.streamd.connections
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connections.admit("sse", Identity("ann", "192.0.2.1"), SendQueue(1, 1)))
        try:
            stack.enter_context(connections.admit("sse", Identity("ann", "192.0.2.2"), SendQueue(1, 1)))
        except TooManyForCaller:
            return True
    return False


LIMITED: Final[dict[str, tuple[str, str]]] = {
    "publish": ("POST", "/events"),
    "events": ("POST", "/events"),
    "bytes": ("POST", "/events"),
    "connect": ("HEAD", "/events?topic=a"),
    "subscribe": ("GET", "/events/poll?topic=a&wait=0"),
    "tasks": ("GET", "/tasks"),
    "services": ("GET", "/api/v2/stream/status"),
}
"""A request for each limit."""
SLOW: Final = 1e-3  # per second: nothing is earned during a test


def admits(count: int, name: str) -> Callable[[Probe], Awaitable[bool]]:
    """Return a function that tells whether a limit refuses the request after ``count``."""

    async def follows(probe: Probe) -> bool:
        method, path = LIMITED[name]
        body = {"topic": "a"} if method == "POST" else None
        answers = [await probe.http.request(method, path, json=body) for _ in range(count + 1)]
        return [answer.status_code == 429 for answer in answers] == [False] * count + [True]

    return follows


async def only_the_newest_kept(probe: Probe) -> bool:
    return await probe.kept_events(3) <= 1


async def the_oldest_key_is_forgotten(probe: Probe) -> bool:
    keyed = [{"topic": "a", "data": n, "idempotency_key": f"k{n}"} for n in (0, 1, 2, 0)]
    ids = [(await probe.http.post("/events", json=event)).json()["id"] for event in keyed]
    return bool(ids[0] != ids[-1])


async def wait_is_limited(probe: Probe) -> bool:
    answer = await probe.http.get("/events/poll", params={"topic": "a", "wait": 54})
    claim = {"kinds": ["k"], "worker": "w", "wait_seconds": 54}
    return (answer.status_code, (await probe.http.post("/tasks/claim", json=claim)).status_code) == (400, 400)


async def two_unfinished_tasks(probe: Probe) -> bool:
    statuses = [(await probe.http.post("/tasks", json={"kind": "k"})).status_code for _ in range(3)]
    return statuses == [201, 201, 503]


async def two_run(probe: Probe) -> bool:
    tasks = probe.server.streamd.tasks
    made = [await tasks.create("held") for _ in range(3)]
    while [(await tasks.get(task.id)).status for task in made].count(Status.RUNNING) < 2:
        pass
    return (await tasks.get(made[-1].id)).status is Status.PENDING


async def two_sessions(probe: Probe) -> bool:
    [kind] = [kind for name, kind in probe.server.streamd.tasks.kinds.items() if name == "research"]
    return kind.max_kept == 2


async def two_items(probe: Probe) -> bool:
    items = [{"ticker": "A", "text": "good", "item_id": str(number)} for number in range(3)]
    statuses = [
        (await probe.http.post("/api/v2/items", json={"items": part})).status_code
        for part in (items[:2], items[2:])
    ]
    return statuses == [202, 503]


async def two_orders(probe: Probe) -> bool:
    headers = {"Content-Type": "text/csv"}
    url = "/api/purchase-orders?merchantId=m"
    answers = [await probe.http.post(url, content="sku,qty\nA,1\n", headers=headers) for _ in range(3)]
    return [answer.status_code for answer in answers] == [202, 202, 503]


async def other_names_are_refused(probe: Probe) -> bool:
    answers = [
        await probe.http.get("/connections", headers={"Host": host}) for host in ("a.example", "localhost")
    ]
    return [answer.status_code for answer in answers] == [200, 421]


async def the_second_wrong_line_is_the_last(probe: Probe) -> bool:
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await probe.http.post("/events", content=b"x\n" * 5, headers=headers)
    return [json.loads(line)["error"]["code"] for line in answer.text.splitlines()] == [
        "invalid-body",
        "invalid-body",
        "too-many-errors",
    ]


EFFECTS: Final[dict[str, tuple[Any, Callable[[Probe], Awaitable[bool]]]]] = {
    "server.hosts": (["a.example"], other_names_are_refused),
    "connections.max_connections": (2, all_streams),
    "connections.max_per_address": (2, all_streams),
    "connections.max_per_user": (2, two_of_one_user),
    "connections.on_limit": ("retry", the_second_stream_is_told_to_come_back),
    "connections.control": (True, control_is_on),
    **{f"limits.{name}_per_second": (SLOW, admits(1, name)) for name in LIMITED},
    **{f"tuning.limits.{name}_burst": (2, admits(2, name)) for name in LIMITED},
    "tuning.limits.bytes_burst": (30, admits(2, "bytes")),
    "sentiment.stream.max_connections": (2, dashboards),
    "purchase_orders.stream.max_connections": (2, merchants),
    "publish.max_errors": (2, the_second_wrong_line_is_the_last),
    "poll.max_wait_seconds": (30.0, wait_is_limited),
    "log.max_events": (5, five_kept),
    "log.topic_max_events": (5, five_kept),
    "log.max_bytes": (70_000, two_large_ones_kept),
    "log.topic_max_bytes": (70_000, two_large_ones_kept),
    "log.max_age_seconds": (1e-9, only_the_newest_kept),
    "log.topic_max_age_seconds": (1e-9, only_the_newest_kept),
    "log.retention": ([RetentionRule(pattern="kept", max_events=5)], five_kept),
    "tuning.log.max_idempotency_keys": (2, the_oldest_key_is_forgotten),
    "log.idempotency_seconds": (1e-9, the_oldest_key_is_forgotten),
    "tasks.max_per_kind": (2, two_unfinished_tasks),
    "tasks.max_running": (2, two_run),
    "research.max_sessions": (2, two_sessions),
    "sentiment.max_items": (2, two_items),
    "purchase_orders.max_orders": (2, two_orders),
}
"""For each setting a new value, and a function that tells whether the server follows it."""

SMALL: Final = {
    # so that no other setting contradicts the small new values
    "events.max_event_bytes": 65_536,
    "tasks.max_event_result_bytes": 65_536,
    "hub.max_lag_events": 5,
    "log.topic_max_events": 5,
    "tasks.tombstone_seconds": 1e9,
}


async def hold(_: Progress) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("path", RELOADED)
async def test_a_setting_takes_effect_while_the_server_runs(path: str) -> None:
    value, follows = EFFECTS[path]
    known = settings_of(Settings)
    small = {name: SMALL[name] for name in SMALL if "log." in path and name != path}
    if path.endswith("_burst"):
        small[path.removeprefix("tuning.").replace("_burst", "_per_second")] = SLOW
    elif path == "connections.on_limit":
        small["connections.max_connections"] = 1
    settings = with_values(Settings(), small)
    app = give_addresses(create_app(settings))
    app.extensions[EXTENSION].tasks.register(Kind(name="held", work=hold))
    async with (
        run_server(settings, app=app) as server,
        httpx.AsyncClient(base_url=server.url, timeout=30) as http,
    ):
        plan = plan_reload(settings, with_values(settings, {known[path].attribute: value}))
        assert plan.applied == (path,)
        server.streamd.apply_settings(plan.settings)
        assert await follows(Probe(server, http))


@pytest.mark.parametrize("path", AUTH_EFFECTS)
async def test_a_setting_of_access_control_takes_effect_while_the_server_runs(path: str) -> None:
    before, value, is_seen = AUTH_EFFECTS[path]
    known = settings_of(Settings)
    named = {known[name].attribute: before[name] for name in before}
    settings = with_values(Settings(), named)
    async with run_server(settings) as server, httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        assert not await is_seen(http)
        plan = plan_reload(settings, with_values(settings, {known[path].attribute: value}))
        assert plan.applied == (path,)
        server.streamd.apply_settings(plan.settings)
        assert await is_seen(http)
