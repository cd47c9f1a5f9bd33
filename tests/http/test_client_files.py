"""The modules of the browser client: exactly these are served, also to pages of other origins."""

import re
from pathlib import Path

import httpx
import pytest
from quart.typing import TestClientProtocol as Client
from quart_trio import QuartTrio

import streamd
from streamd.http.routes.page import web
from streamd.server.settings import ServerSettings
from streamd.settings import Settings
from tests.support.api import serving_api

DIST = Path(streamd.__file__).parent / "web/client/dist"
MODULES = sorted(path.name for path in DIST.glob("*.js"))
ORIGIN = "https://shop.example"
each_module = pytest.mark.parametrize("name", MODULES)


@pytest.fixture
def client() -> Client:
    app = QuartTrio("page", static_folder=None)
    app.register_blueprint(web)
    return app.test_client()


@each_module
async def test_modules_are_served_to_all_origins(client: Client, name: str) -> None:
    response = await client.get(f"/client/{name}", headers={"Origin": ORIGIN})
    assert response.status_code == 200
    assert await response.get_data(as_text=False) == (DIST / name).read_bytes()
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@each_module
async def test_an_unchanged_module_is_answered_304(client: Client, name: str) -> None:
    first = await client.get(f"/client/{name}")
    again = await client.get(f"/client/{name}", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert await again.get_data(as_text=False) == b""
    assert again.headers["Access-Control-Allow-Origin"] == "*", "a browser checks the 304, too"
    changed = await client.get(f"/client/{name}", headers={"If-None-Match": '"of another version"'})
    assert changed.status_code == 200


def test_modules_import_served_modules_and_react_alone() -> None:
    assert "streamd.js" in MODULES
    for name in MODULES:
        text = (DIST / name).read_text(encoding="utf-8")
        imported = set(re.findall(r'(?:\bfrom|\bimport)\s*\(?"([^"]+)"', text))
        allowed = {f"./{module}" for module in MODULES}
        if name == "react.js":
            allowed |= {"react", "react/jsx-runtime"}
        assert imported <= allowed, name


@pytest.mark.parametrize(
    "path",
    [
        "/client/",
        "/client/index.d.ts",
        "/client/none.js",
        "/client/../package.json",
        "/client/..%2fpackage.json",
        "/client/%2e%2e/package.json",
        "/client/dist/streamd.js",
        "/client/src/index.ts",
        "/client//streamd.js",
        "/client/streamd.js%00.ts",
    ],
)
async def test_other_paths_are_not_found(path: str) -> None:
    async with serving_api() as api:
        answer = await api.http.get(path, follow_redirects=True)
        assert answer.status_code == 404


async def test_other_methods_are_not_allowed(client: Client) -> None:
    for answer in (await client.post("/client/streamd.js"), await client.delete("/client/streamd.js")):
        assert answer.status_code == 405


async def test_an_allowed_origin_gets_one_value_of_its_own() -> None:
    settings = Settings(server=ServerSettings(cors_origins=[ORIGIN], cors_credentials=True))
    async with serving_api(settings) as api:
        for origin, value in ((ORIGIN, ORIGIN), ("https://other.example", "*")):
            answer = await api.http.get("/client/streamd.js", headers={"Origin": origin})
            assert answer.headers.get_list("access-control-allow-origin") == [value]
            assert "Origin" in answer.headers["vary"]


async def test_the_prefix_of_the_server_is_no_part_of_the_name() -> None:
    async with serving_api(Settings(server=ServerSettings(root_path="/realtime"))) as api:
        for prefix in ("", "/realtime"):
            assert (await api.http.get(f"{prefix}/client/streamd.js")).status_code == 200


async def test_a_server_under_another_name_serves_no_module() -> None:
    async with serving_api(Settings(server=ServerSettings(hosts=["events.example"]))) as api:
        statuses = [
            (await api.http.get("/client/streamd.js", headers={"Host": host})).status_code
            for host in ("events.example", "rebound.example", httpx.URL(api.server.url).netloc.decode())
        ]
        assert statuses == [200, 421, 421]
