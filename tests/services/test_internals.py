"""Clients never receive a host, a port, a path, an exception's text or a worker's name of the inside."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import pytest
import structlog.testing
import trio

from streamd import Settings
from streamd.config import RetrySettings
from streamd.database import StoreSettings
from streamd.services.purchase_orders.settings import PurchaseOrderSettings
from streamd.services.research import Reader, ResearchQuery, register_source
from streamd.services.research.settings import ResearchSettings
from streamd.testing import open_stream, run_server
from streamd.text.settings import TextSettings
from tests.support.fake_server import FakeServer, fake_server, hang_up, raw, respond

ONCE: Final = RetrySettings(attempts=2, backoff_seconds=0.01)
PATH_OF_A_BUG: Final = "/srv/internal/registry.db"
SUSPICIOUS: Final = re.compile(
    r"local:|Errno|Traceback|httpx|apsw|msgspec|sqlite|Error\(|\b\w+Error\b|/site-packages/"
)


@register_source("internals_bug")
async def bug(_query: ResearchQuery, _reader: Reader) -> None:
    """Raise an error that quotes a path."""
    raise OSError(2, "No such file or directory", PATH_OF_A_BUG)


@register_source("internals_odd")
async def odd(_query: ResearchQuery, _reader: Reader) -> object:
    """Return a value that is not JSON."""
    return {"value": object()}


@attrs.define
class Client:
    """A client that keeps everything it receives.

    Attributes:
        received: bodies, headers and events, as text.
        inside: texts that no client may receive.
    """

    url: str
    http: httpx.AsyncClient
    inside: list[str]
    received: list[str] = attrs.field(factory=list)

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, and return the JSON of its answer."""
        answer = await self.http.request(method, path, **options)
        self.received.append(f"{method} {path}: {answer.headers} {answer.text}")
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else None

    async def follow(self, path: str) -> None:
        """Follow a stream to its end."""
        async with open_stream(self.url, path=path) as stream:
            while (event := await stream.next_event()) is not None:
                self.received.append(f"{path}: {event.type} {event.data}")

    def check(self) -> None:
        """Check that nothing from the inside was received."""
        for text in self.received:
            own = text.replace(self.url, "")  # the client's own address of the server
            for inside in self.inside:
                assert inside not in own, f"{inside!r} in {own}"
            assert (found := SUSPICIOUS.search(own)) is None, f"{found} in {own}"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    return StoreSettings(url="memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'inside.db'}")


@asynccontextmanager
async def serving(settings: Settings, *inside: str) -> AsyncIterator[Client]:
    """Run a server, and check at the end what its client has received."""
    with trio.fail_after(60), structlog.testing.capture_logs() as logs:
        async with (
            run_server(settings) as server,
            httpx.AsyncClient(base_url=server.url, timeout=30) as http,
        ):
            client = Client(server.url, http, list(inside))
            yield client
        client.check()
        logged = json.dumps(logs, default=str)
        for text in inside:
            assert text in logged, f"the operator's log must have {text!r}"


@asynccontextmanager
async def closed_port() -> AsyncIterator[str]:
    """Yield an address that refuses connections, ``127.0.0.1:PORT``."""
    with trio.socket.socket() as sock:
        await sock.bind(("127.0.0.1", 0))  # bound, and not listening
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def address_of(server: FakeServer) -> str:
    return server.url.removeprefix("http://")


# --- research ----------------------------------------------------------------------------------------


async def test_research_names_no_source_of_the_inside(store: StoreSettings, tmp_path: Path) -> None:
    folder = tmp_path / "private-data"
    folder.mkdir()
    for name in ("gone", "broken", "shapeless"):
        (folder / f"{name}.json").write_text("{" if name == "broken" else '{"people": 7}')
    async with (
        closed_port() as dead,
        fake_server(respond(500)) as failing,
        fake_server(respond(200, b"{")) as broken,
        fake_server(raw(b"nonsense\r\n")) as odd_server,
        fake_server(respond(302, headers={"Location": "http://10.0.0.3:8080/secret"})) as moved,
    ):
        urls = {
            "dead": dead,
            "failing": address_of(failing),
            "malformed": address_of(broken),
            "nonsense": address_of(odd_server),
            "moved": address_of(moved),
        }
        tables = [
            f'[datasets.{name}]\nurl = "http://{address}/internal/{{company_id}}"\nattempts = 2\n'
            "retry_seconds = 0.01\n"
            for name, address in urls.items()
        ]
        tables += [
            f'[datasets.{name}]\nfile = "private-data/{name}.json"\n'
            for name in ("gone", "broken", "shapeless")
        ]
        tables.append('shape = "people"\n')  # of the last one
        tables += [f'[datasets.{name}]\nfunction = "internals_{name}"\n' for name in ("bug", "odd")]
        names = [*urls, "gone", "broken", "shapeless", "bug", "odd"]
        areas = tmp_path / "areas.toml"
        areas.write_text(
            "".join(tables)
            + "".join(f'[areas.{name}]\ndatasets = ["{name}"]\n' for name in names)
            + f"[areas.all]\ndatasets = {json.dumps(names)}\n"
        )
        settings = Settings(store=store, research=ResearchSettings(areas_file=str(areas)))
        inside = [*urls.values(), str(folder / "gone.json"), str(folder / "broken.json"), PATH_OF_A_BUG]
        async with serving(settings, *inside) as client:
            (folder / "gone.json").unlink()
            await client.ask("GET", "/research/areas")
            for area in [*names, "all"]:
                query = {"areaId": area, "companyId": "acme", "userRole": "CEO", "userCompany": "Own"}
                started = await client.ask("POST", "/research/stream", json=query)
                await client.follow(started["eventsUrl"])
                await client.ask("GET", started["statusUrl"])
                await client.ask("GET", started["resultUrl"])
                await client.ask("GET", f"/tasks/{started['researchSessionId']}")
            await client.ask("GET", "/tasks")
            assert "10.0.0.3" not in "".join(client.received)
            assert str(tmp_path) not in "".join(client.received)


async def test_the_findings_of_research_name_the_dataset(store: StoreSettings, tmp_path: Path) -> None:
    async with fake_server(respond(200, b'{"known": true}')) as register:
        areas = tmp_path / "areas.toml"
        areas.write_text(
            f'[datasets.register]\ntitle = "Register"\nurl = "{register.url}/{{company_id}}"\n'
            '[areas.a]\ndatasets = ["register"]\n'
        )
        settings = Settings(store=store, research=ResearchSettings(areas_file=str(areas)))
        async with serving(settings) as client:
            client.inside.append(address_of(register))
            query = {"areaId": "a", "companyId": "acme", "userRole": "CEO", "userCompany": "Own"}
            started = await client.ask("POST", "/research/stream", json=query)
            await client.follow(started["eventsUrl"])
            result = await client.ask("GET", started["resultUrl"])
    assert result["findings"][0]["source"] == {"kind": "http", "name": "Register"}


# --- orders and strategies ---------------------------------------------------------------------------


async def order_and_strategy(client: Client, picture: str) -> None:
    """Send orders and a strategy, and read everything about them."""
    documents = [
        ("text/csv", f"sku,description,qty,price,image\nM-1,Mug,1,2,{picture}\n"),
        ("text/plain", "Please send\n1 x Mug (M-1) @ 2.00 EUR\n"),
    ]
    for content_type, document in documents:
        headers = {"Content-Type": content_type}
        accepted = await client.ask(
            "POST", "/api/purchase-orders?merchantId=m", content=document, headers=headers
        )
        await client.follow(f"/tasks/{accepted['workflowId']}/events")
        await client.ask("GET", accepted["statusUrl"])
        await client.ask("GET", f"/tasks/{accepted['workflowId']}")
        await client.ask("GET", f"/tasks/{accepted['workflowId']}/result")
        async with open_stream(client.url, path=accepted["eventsUrl"]) as stream:
            last = ""
            while last not in ("completion/status_update", "error/ai_parsing"):
                event = await stream.next_event()
                assert event is not None
                client.received.append(f"{event.type} {event.data}")
                last = f"{event.type}/{json.loads(event.data)['stage']}"
    profile = {
        "business": "Mugs",
        "audience": "People",
        "goals": ["Sell"],
        "channels": ["Newsletter"],
        "budget": {"amount": 1000, "currency": "EUR"},
    }
    strategy = await client.ask("POST", "/api/strategy", json=profile)
    await client.follow(strategy["eventsUrl"])
    for url in (strategy["statusUrl"], strategy["resultUrl"], f"/tasks/{strategy['strategyId']}"):
        await client.ask("GET", url)
    await client.ask("GET", "/tasks")


@pytest.mark.parametrize("failure", ["refused", "hang up", "status", "nonsense", "json"])
async def test_orders_and_strategies_name_no_server_of_the_inside(store: StoreSettings, failure: str) -> None:
    answers = {
        "hang up": hang_up,
        "status": respond(500, b"internal error at 10.0.0.3:8080 in /srv/shop/app.py"),
        "nonsense": raw(b"nonsense\r\n"),
        "json": respond(200, b'{"error": "10.0.0.3:8080"}'),
    }
    async with closed_port() as dead, fake_server(answers.get(failure, hang_up)) as bad:
        address = dead if failure == "refused" else address_of(bad)
        url = f"http://{address}"
        settings = Settings(
            store=store,
            text=TextSettings(url=f"{url}/v1", model="/srv/models/secret/big", retry=ONCE),
            purchase_orders=PurchaseOrderSettings(
                sync_url=f"{url}/orders", sync_token="t0p-secret", image_allow_private=True, retry=ONCE
            ),
        )
        async with serving(settings) as client:
            await order_and_strategy(client, "http://127.0.0.1:1/mug.png")
            client.inside += [address, "10.0.0.3", "/srv/", "t0p-secret"]


async def test_a_model_named_by_its_path_is_shown_by_its_name(store: StoreSettings) -> None:
    chunks = b'data: {"choices": [{"delta": {"content": "Text."}}]}\n\ndata: [DONE]\n\n'
    answer = respond(200, chunks, headers={"Content-Type": "text/event-stream"})
    async with fake_server(answer) as model:
        text = TextSettings(url=model.url, model="/srv/models/big-7b", retry=ONCE)
        async with serving(Settings(store=store, text=text)) as client:
            client.inside += [address_of(model), "/srv/"]
            await order_and_strategy(client, "http://127.0.0.1:1/mug.png")
            assert '"generator":"big-7b"' in "".join(client.received)


# --- the server's own answers -------------------------------------------------------------------------


async def test_tasks_of_the_server_name_no_worker(store: StoreSettings) -> None:
    async with serving(Settings(store=store)) as client:
        query = {"brand": "Acme", "mentions": [], "taskId": "one"}
        await client.ask("POST", "/api/brand-monitor/analyses", json=query)
        await client.follow("/api/brand-monitor/progress/one")
        task = await client.ask("GET", "/tasks/one")
        assert task["worker"] == ""
        await client.ask("GET", "/tasks")
        own = await client.ask("POST", "/tasks", json={"kind": "k", "worker": "my-laptop"})
        assert own["worker"] == "my-laptop"
        for path in ("/health/live", "/health/ready", "/nothing", "/connections", "/"):
            await client.ask("GET", path)
        await client.ask("DELETE", "/tasks")
        await client.ask("POST", "/events", content=b"{", headers={"Content-Type": "application/json"})
