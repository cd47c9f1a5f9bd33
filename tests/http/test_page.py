"""The page's files: exactly these are served, with their headers."""

import re
from pathlib import Path
from posixpath import normpath

import pytest
from quart.typing import TestClientProtocol as Client
from quart_schema import QuartSchema
from quart_trio import QuartTrio

import streamd.http
from streamd.http.assets import load_assets
from streamd.http.routes.page import web

STATIC = Path(streamd.http.__file__).parent / "static"
FILES = sorted(str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file())
CLIENT = [f"/client/{name}" for name in load_assets("web/client/dist", suffix=".js")]
SERVED = ["/", *(f"/static/{name}" for name in FILES if name != "index.html")]


@pytest.fixture
def client() -> Client:
    app = QuartTrio("page", static_folder=None)
    app.register_blueprint(web)
    return app.test_client()


def text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def test_every_file_is_packaged() -> None:
    assert sorted(load_assets("http/static")) == FILES
    assert {"index.html", "app.css", "favicon.svg", "js/main.js"} <= set(FILES)


@pytest.mark.parametrize("path", SERVED)
async def test_files_are_served_with_security_headers(client: Client, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    name = "index.html" if path == "/" else path.removeprefix("/static/")
    assert await response.get_data(as_text=False) == (STATIC / name).read_bytes()
    headers = response.headers
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/app.css", "text/css; charset=utf-8"),
        ("/static/js/main.js", "text/javascript; charset=utf-8"),
        ("/static/favicon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_content_type(client: Client, path: str, content_type: str) -> None:
    assert (await client.get(path)).headers["Content-Type"] == content_type


@pytest.mark.parametrize("path", SERVED)
async def test_an_unchanged_file_is_answered_304(client: Client, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert await again.get_data(as_text=False) == b""
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "no-cache"
    changed = await client.get(path, headers={"If-None-Match": '"of another version"'})
    assert changed.status_code == 200


async def test_head_has_etag_and_length(client: Client) -> None:
    response = await client.head("/")
    assert response.status_code == 200
    assert response.headers["ETag"]
    assert response.headers["Content-Length"] == str((STATIC / "index.html").stat().st_size)


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/index.html",
        "/static/none.js",
        "/static/js",
        "/static/js/",
        "/static/../assets.py",
        "/static/js/../../assets.py",
        "/static/%2e%2e/assets.py",
        "/static/..%2fassets.py",
        "/static/%2e%2e%2f%2e%2e%2ferrors.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/js/main.js%00.css",
        "/static/js\\main.js",
        "/index.html",
        "/assets.py",
    ],
)
async def test_other_paths_are_not_found(client: Client, path: str) -> None:
    # Follow redirects: a doubled slash is redirected to the URL with one.
    assert (await client.get(path, follow_redirects=True)).status_code == 404


async def test_other_methods_are_not_allowed(client: Client) -> None:
    for answer in (await client.post("/"), await client.put("/"), await client.delete("/static/app.css")):
        assert answer.status_code == 405


async def test_an_application_keeps_its_own_static_folder(tmp_path: Path) -> None:
    (tmp_path / "own.css").write_text("p {}", encoding="utf-8")
    app = QuartTrio("page", static_folder=str(tmp_path), static_url_path="/static")
    app.register_blueprint(web)
    client = app.test_client()
    assert (await client.get("/static/own.css")).status_code == 200
    packaged = await client.get("/static/app.css")
    assert await packaged.get_data(as_text=False) == (STATIC / "app.css").read_bytes()


async def test_the_page_is_not_in_the_openapi_document() -> None:
    app = QuartTrio("page", static_folder=None)
    QuartSchema(app)
    app.register_blueprint(web)
    described = await (await app.test_client().get("/openapi.json")).get_json()
    assert described["paths"] == {}


# --- the page satisfies its own Content-Security-Policy ----------------------------------------------------


def test_the_page_refers_to_packaged_files_only() -> None:
    named = re.findall(r'(?:src|href)="([^"#]+)"', text("index.html"))
    assert "static/js/main.js" in named
    for address in named:
        assert address.removeprefix("static/") in FILES or not address.startswith("static/"), address


def test_the_page_requests_no_other_host() -> None:
    for name in FILES:
        addresses = set(re.findall(r"https?://[^\s\"'`)<]+", text(name)))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name


def test_the_page_has_no_inline_script_or_style() -> None:
    page = text("index.html")
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []


def test_modules_import_packaged_files_only_and_write_text_only() -> None:
    for name in FILES:
        if not name.endswith(".js"):
            continue
        for target in re.findall(r'from "([^"]+)"', text(name)):
            assert target.startswith("."), "relative to the module, so that it works below a prefix"
            assert normpath(f"/static/{name}/../{target}") in (*SERVED, *CLIENT), (name, target)
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text(name)) == []
