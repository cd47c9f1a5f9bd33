"""`streamd serve --workers`: the configurations that it refuses, and the command of one process."""

import os
import sys
from pathlib import Path

import attrs
import click
import pytest
from click.testing import CliRunner

from streamd.cli import main
from streamd.cli.serve import serve
from streamd.cli.supervise import serve_command
from streamd.database import StoreSettings
from streamd.log.settings import LogSettings
from streamd.settings import Settings
from streamd.startup import check_shared_log
from tests.support.program import ROOT


def context_of(*arguments: str) -> click.Context:
    return serve.make_context("serve", list(arguments))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--config", "-odd name.toml", "--bind", "127.0.0.1:0", "--bind", "[::1]:0"),
        ("--log", "redis://x", "--store", "redis://y", "--certfile", "c", "--keyfile", "k"),
        ("--app", "shop:app", "--log-level", "info", "--demo", "--follow", "a", "--follow", "--b"),
    ],
)
def test_a_process_has_all_options_but_the_number_of_processes(options: tuple[str, ...]) -> None:
    command = serve_command(context_of("--workers", "3", *options))
    arguments = command[command.index("serve") + 1 :]
    assert not any("workers" in part or "inherit" in part for part in arguments)
    assert context_of(*arguments).params == context_of(*options).params


def test_a_process_imports_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve_command(context_of())[:5] == [sys.executable, "-P", "-m", "streamd", "serve"]
    monkeypatch.chdir(ROOT)  # where it may be all there is
    assert serve_command(context_of())[:4] == [sys.executable, "-m", "streamd", "serve"]


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_the_number_of_processes_is_at_least_1(number: str) -> None:
    with pytest.raises(click.BadParameter):
        context_of("--workers", number)


# --- a log that the processes share ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ((), ["store.url"]),
        (("--store", "memory:"), ["store.url"]),
        (("--log", "sqlite:events.db"), ["log.url", "store.url"]),
        (("--app", "shop_of_workers:app"), ["store.url"]),
    ],
)
def test_several_processes_without_a_shared_log_are_refused(
    options: tuple[str, ...], fields: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith("STREAMD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shop_of_workers.py").write_text(
        "from quart_trio import QuartTrio\nfrom streamd import Streamd\n"
        "app = QuartTrio(__name__)\nStreamd(app)\n"
    )
    result = CliRunner().invoke(main, ["serve", "--workers", "2", *options])
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if "redis://localhost:6379" in line]
    assert [line.split(": ")[0] for line in lines] == fields
    assert all("2 processes (--workers) need a log that they share" in line for line in lines)
    assert not list(tmp_path.glob("*.db")), "nothing is created"


@pytest.mark.parametrize(
    ("log", "store", "refused"),
    [
        ("", "redis://localhost:6379", []),
        ("", "rediss://cache.example:6380/1", []),
        ("redis+unix:///run/redis.sock", "redis:", []),
        ("redis://localhost", "sqlite:streamd.db", ["store.url"]),
        ("memory:", "redis://localhost", ["log.url"]),
        ("", "redistribution:x", ["store.url"]),
        ("", "", ["store.url"]),
    ],
)
def test_processes_share_a_log_and_a_store_in_redis(log: str, store: str, refused: list[str]) -> None:
    with attrs.validators.disabled():  # whether or not this build knows these URLs
        settings = Settings(log=LogSettings(url=log), store=StoreSettings(url=store))
    assert [error.field for error in check_shared_log(settings, 2)] == refused
    assert not list(check_shared_log(settings, 1))
