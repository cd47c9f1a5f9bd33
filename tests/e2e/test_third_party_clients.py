"""Clients that others wrote, through dropped connections, restarts, full servers and a task's end.

Each client receives every event once and in order, or is told of a gap. :mod:`tests.third_party.clients`
lists the clients, with what some of them cannot do by a defect of their own.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.number_publisher import NumberPublisher, publishing_numbers
from tests.support.page_server import PageServer, page_server
from tests.third_party.clients import CLIENTS, ThirdPartyClient
from tests.third_party.run import DriverRun, Received, run_drivers

pytestmark = pytest.mark.soak

STREAM: Final = "/events?topic=numbers&last_event_id=earliest"
TEXT: Final = "naïve 漢字 🙂"  # in every event: its bytes tell which charset a client has decoded with
CUTS: Final = [700 + 173 * number for number in range(6)]
"""Bytes of a response that pass before it is cut: its head, some events, and mostly a part of one."""
VARIABLES: Final = {"STREAMD_SERVER__DRAIN_SECONDS": "1", "STREAMD_TUNING__CONNECTIONS__RETRY_MS": "250"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    """Run a server that keeps its log in a file."""
    with page_server("--log", f"sqlite:{tmp_path / 'log.db'}", **VARIABLES) as server:
        yield server


def data_of(number: int) -> object:
    """Return the data of a number's event."""
    return {"n": number, "text": TEXT}


def numbers_in(received: list[Received]) -> list[int]:
    """Return the numbers that were received, in order."""
    return [int(json.loads(item.data)["n"]) for item in received if item.type == "message"]


def wait_number(run: DriverRun, number: int) -> None:
    """Wait until a client has received a number, or a later one."""

    def has_number(received: list[Received]) -> bool:
        last = next((item for item in reversed(received) if item.type == "message"), None)
        return last is not None and numbers_in([last])[0] >= number

    run.wait(has_number, f"event {number}")


def find_fault(run: DriverRun, count: int, cuts: int) -> str:
    """Describe what a client has received wrongly of ``count`` numbers; an empty text if nothing."""
    received = run.received()
    numbers = numbers_in(received)
    lost = sorted(set(range(count)) - set(numbers))
    if len(lost) > (cuts if run.client.loses else 0):
        return f"lost {lost}"
    if numbers != [number for number in range(count) if number not in lost]:
        return f"{len(numbers) - count + len(lost)} repeats, or another order"
    if run.of_type("gap"):
        return "a gap"
    texts = {json.loads(item.data)["text"] for item in received if item.type == "message"}
    return "" if texts == {TEXT} else f"text {texts - {TEXT}}"


def check_numbers(runs: list[DriverRun], count: int, cuts: int = 0) -> None:
    """Check that each client has received each number once, in order, and was told of no gap.

    Args:
        runs: of the clients.
        count: of the numbers.
        cuts: how often the connection of each client was cut within an event, which some cannot take.
    """
    faults = {run.client.name: fault for run in runs if (fault := find_fault(run, count, cuts))}
    assert faults == {}


def versions_in(received: list[Received]) -> list[int]:
    """Return the versions of a task that were received, in order."""
    types = ("status", "progress", "complete")
    return [json.loads(item.data)["version"] for item in received if item.type in types]


def receive_all(runs: list[DriverRun], publisher: NumberPublisher) -> None:
    """End publishing, and wait until each client has received the last number."""
    publisher.stop()
    for run in runs:
        wait_number(run, publisher.count - 1)


@contextmanager
def proxies_of(
    clients: Iterable[ThirdPartyClient], server: PageServer
) -> Iterator[dict[ThirdPartyClient, FaultProxy]]:
    """Run a proxy for each client while the block lasts."""
    with ExitStack() as stack:
        yield {client: stack.enter_context(fault_proxy(server.url)) for client in clients}


def publishing_data(server: PageServer) -> AbstractContextManager[NumberPublisher]:
    """Publish numbers while the block lasts."""
    return publishing_numbers(lambda: server.url, "numbers", data_of)


def test_a_connection_cut_anywhere_loses_no_event(server: PageServer, browser: Browser) -> None:
    with proxies_of(CLIENTS, server) as proxies, publishing_data(server) as publisher:
        with run_drivers(CLIENTS, browser, lambda client: proxies[client].url + STREAM) as runs:
            for run in runs:
                wait_number(run, 20)
            for proxy in proxies.values():
                proxy.faults.cuts = deque(CUTS)
                proxy.cut_connections()
            for run in runs:
                run.wait_count("open", len(CUTS) + 2)
            receive_all(runs, publisher)
            check_numbers(runs, publisher.count, cuts=len(CUTS) + 1)


def test_a_killed_and_a_drained_server_lose_no_event(server: PageServer, browser: Browser) -> None:
    with (
        publishing_data(server) as publisher,
        run_drivers(CLIENTS, browser, lambda client: server.url + STREAM) as runs,
    ):
        for number, end in enumerate([server.kill, server.stop], start=1):
            published = publisher.count
            for run in runs:
                run.wait_count("open", number)
                wait_number(run, published)
            end()
            server.start()
        receive_all(runs, publisher)
        check_numbers(runs, publisher.count)


def test_a_restart_that_loses_events_tells_every_client_of_a_gap(browser: Browser) -> None:
    with (
        page_server("--log", "memory:", **VARIABLES) as server,
        publishing_data(server) as publisher,
        run_drivers(CLIENTS, browser, lambda client: server.url + STREAM) as runs,
    ):
        for run in runs:
            wait_number(run, 20)
        server.kill()
        server.start()
        receive_all(runs, publisher)
        for run in runs:
            events = run.of_type("message")
            ids = [event.id for event in events]
            assert ids == sorted(set(ids)), run.client.name
            assert len(run.of_type("gap")) == 1, run.client.name


def test_clients_of_a_full_server_come_in_when_it_has_room(tmp_path: Path, browser: Browser) -> None:
    slots = {"STREAMD_CONNECTIONS__MAX_CONNECTIONS": str(len(CLIENTS))}
    with (
        page_server("--log", f"sqlite:{tmp_path / 'log.db'}", **VARIABLES, **slots) as server,
        proxies_of(CLIENTS, server) as proxies,
        publishing_data(server) as publisher,
        ExitStack() as holders,
    ):

        def url_of(client: ThirdPartyClient) -> str:
            return proxies[client].url + STREAM + ("" if client.comes_back else "&on_limit=retry")

        for _ in CLIENTS:
            holders.enter_context(holding_slot(server))
        with run_drivers(CLIENTS, browser, url_of) as runs:
            for run in runs:
                run.wait_requests(proxies[run.client], 2)
                assert run.of_type("message") == []
            holders.close()
            receive_all(runs, publisher)
            check_numbers(runs, publisher.count)


@contextmanager
def holding_slot(server: PageServer) -> Iterator[None]:
    """Hold a stream open while the block lasts."""
    with httpx.stream("GET", f"{server.url}/events?topic=quiet", timeout=60) as response:
        assert response.status_code == 200
        yield


def test_every_client_receives_a_task_to_its_end_and_stops_at_204(
    server: PageServer, browser: Browser
) -> None:
    with (
        proxies_of(CLIENTS, server) as proxies,
        httpx.Client(base_url=server.url) as http,
        ExitStack() as stack,
    ):
        task = http.post("/tasks", json={"kind": "import", "worker": "w", "lease_seconds": 300}).json()

        def report(**change: object) -> int:
            body = {"lease": task["lease"], **change}
            answer = http.patch(f"/tasks/{task['id']}", json=body).raise_for_status()
            return int(answer.json()["version"])

        path = f"/tasks/{task['id']}/events?last_event_id=earliest"
        runs = stack.enter_context(run_drivers(CLIENTS, browser, lambda client: proxies[client].url + path))
        for run in runs:
            run.wait(lambda received: bool(versions_in(received)), "snapshot")
        first = versions_in(runs[0].received())[0]
        for progress in (10, 20, 30):
            report(progress=progress)
        for proxy in proxies.values():
            proxy.cut_connections()
        for progress in (40, 50, 60):
            report(progress=progress)
        last = report(status="completed")
        for run in runs:
            name, proxy = run.client.name, proxies[run.client]
            if run.client.ignores_204:
                run.wait_count("complete", 1)
                run.wait_requests(proxy, run.requests(proxy) + 2)
            else:
                run.wait_count("end", 1)
            assert versions_in(run.received()) == list(range(first, last + 1)), name
            assert bool(run.of_type("end")) is not bool(run.client.ignores_204), name
