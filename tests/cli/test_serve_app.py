"""``streamd serve --app``: the user's application on streamd's server."""

import signal
from functools import partial
from pathlib import Path

import httpx
import pytest

from streamd.app import import_app
from streamd.config import SettingsError
from streamd.errors import ConfigError
from streamd.settings import load_settings
from streamd.startup import prepare_reload, prepare_start
from streamd.testing import open_stream
from tests.support.program import run, started

SHOP = """
from quart_trio import QuartTrio
from streamd import Streamd

app = QuartTrio(__name__)
streamd = Streamd(app)
nothing = QuartTrio(__name__)
number = 7

@app.get("/orders")
async def follow():
    return streamd.event_stream("orders", after="earliest")

@app.post("/orders")
async def order():
    return {"id": await streamd.publish("orders", "one more")}

def make(settings):
    made = QuartTrio(__name__)
    Streamd(made, settings=settings)
    return made
"""

API = """
from streamd.app import create_app as make

app = make()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a module ``shop_of_<test>``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


async def test_the_applications_streams_work_and_end_with_a_closing_frame(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    path = f"{tmp_path}:{Path.cwd()}"
    async with started("serve", "--bind", "127.0.0.1:0", "--app", "shop:app", PYTHONPATH=path) as program:
        url = (await program.line()).split()[-1]
        async with httpx.AsyncClient() as http:
            assert (await http.post(f"{url}/orders")).status_code == 200
        async with open_stream(url, path="/orders") as reader:
            event = await reader.next_event()
            assert event is not None
            assert event.data == "one more"
            program.signal(signal.SIGTERM)
            await reader.next_control("closing")
        assert await program.ended() == 0


def test_a_function_gets_the_settings(folder: Path) -> None:
    (folder / "shop_made.py").write_text(SHOP)
    settings = load_settings(None, {"STREAMD_TUNING__HUB__RING_EVENTS": "777"}, {})
    assert import_app("shop_made:make", settings).settings == settings


def test_an_application_with_its_own_settings_is_served_with_the_servers(folder: Path) -> None:
    (folder / "shop_own.py").write_text(SHOP)
    settings = load_settings(None, {"STREAMD_SERVER__KEEP_ALIVE_SECONDS": "7"}, {})
    assert import_app("shop_own:app", settings).settings.server.keep_alive_seconds == 7
    with pytest.raises(ConfigError, match="function that takes the settings"):
        import_app("shop_own:app", load_settings(None, {"STREAMD_TUNING__HUB__RING_EVENTS": "777"}, {}))


@pytest.mark.parametrize("target", ["shop_again:app", "shop_again:make"])
def test_a_reload_refuses_what_a_start_refuses(folder: Path, target: str) -> None:
    (folder / "shop_again.py").write_text(SHOP)
    file = folder / "streamd.toml"
    file.write_text("")
    start = prepare_start(file, {}, {}, target)
    file.write_text("[server]\nkeep_alive_seconds = 7\n")
    assert prepare_reload(start, file, {}, {}, target).server.keep_alive_seconds == 7
    refused = ["connections.max_connections = 100_000_000"]
    if target == "shop_again:app":
        refused = ["connections.max_connections = 5", "tasks.max_running = 7"]
    for setting in refused:
        section, _, line = setting.partition(".")
        file.write_text(f"[{section}]\n{line}\n")
        for prepare in (prepare_start, partial(prepare_reload, start)):
            with pytest.raises(ConfigError, match=r"function that takes the settings|open files"):
                prepare(file, {}, {}, target)


@pytest.mark.parametrize("target", ["api_open:app", "api_open:make"])
def test_an_application_with_the_api_needs_keys_or_the_word_open(folder: Path, target: str) -> None:
    (folder / "api_open.py").write_text(API)
    file = folder / "streamd.toml"
    file.write_text("")
    start = prepare_start(file, {}, {}, target)
    file.write_text('[server]\nbind = ["0.0.0.0:0"]\n')
    for prepare in (prepare_start, partial(prepare_reload, start)):
        with pytest.raises(ConfigError, match="other machines reach"):
            prepare(file, {}, {}, target)
    (folder / "shop_public.py").write_text(SHOP)
    prepare_start(file, {}, {}, "shop_public:app")  # its own views decide


def test_all_mistakes_of_the_limits_are_reported_at_once(folder: Path) -> None:
    (folder / "shop_limits.py").write_text(SHOP)
    environ = {
        "STREAMD_CONNECTIONS__MAX_CONNECTIONS": "100000000",
        "STREAMD_STORE__URL": f"sqlite:{folder}/missing/store.db",
    }
    with pytest.raises(SettingsError) as caught:
        prepare_start(None, environ, {}, "shop_limits:make")
    assert [problem.path for problem in caught.value.problems] == ["connections.max_connections", "store.url"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("shop", "MODULE:NAME"),
        (":app", "MODULE:NAME"),
        ("nowhere_to_be_found:app", "no module 'nowhere_to_be_found'"),
        ("shop_wrong:missing", "missing"),
        ("shop_wrong:nothing", "no Quart-Trio application with a Streamd"),
        ("shop_wrong:number", "no Quart-Trio application with a Streamd"),
    ],
)
def test_an_invalid_target_is_an_error_that_names_it(folder: Path, target: str, says: str) -> None:
    (folder / "shop_wrong.py").write_text(SHOP)
    with pytest.raises(ConfigError, match=says):
        import_app(target, load_settings(None, {}, {}))


async def test_an_invalid_target_ends_the_command_with_status_2(tmp_path: Path) -> None:
    done = await run("serve", "--app", "nowhere_to_be_found:app")
    assert done.returncode != 0
    assert "Error: " in done.stderr
    assert "nowhere_to_be_found" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_store_in_use_by_another_server_is_an_error(tmp_path: Path) -> None:
    options = ("serve", "--bind", "127.0.0.1:0", "--store", f"sqlite:{tmp_path}/tasks.db")
    async with started(*options) as program:
        await program.line()
        second = await run(*options)
    assert second.returncode == 2
    assert "tasks.db cannot be used" in second.stderr
    assert "another process uses it" in second.stderr
    assert "Traceback" not in second.stderr


async def test_a_store_in_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    done = await run("serve", "--bind", "127.0.0.1:0", "--store", f"sqlite:{tmp_path}/nowhere/tasks.db")
    assert done.returncode == 2
    assert "nowhere/tasks.db cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
