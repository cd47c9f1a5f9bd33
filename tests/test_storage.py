"""The storage that the settings name: which files there are, and what survives in each combination."""

from pathlib import Path

import pytest
import trio

from streamd.clock import SteadyClock
from streamd.database import MEMORY, StoreSettings
from streamd.errors import ConfigError
from streamd.events import EARLIEST, Selectors
from streamd.log.memory import MemoryLog
from streamd.log.settings import LogSettings
from streamd.log.sqlite import SQLiteLog
from streamd.redis.settings import RedisSettings
from streamd.runtime import Runtime, RuntimeSettings
from streamd.settings import Settings
from streamd.startup import DEFAULT_STORE, with_store
from streamd.storage import Storage, log_path, make_storage
from streamd.tasks import Status
from tests.support.redis_servers import new_prefix, shared_server


def storage(store: str, log: str) -> Storage:
    return make_storage(StoreSettings(url=store), LogSettings(url=log), RedisSettings(), SteadyClock())


@pytest.mark.parametrize(
    ("store", "log", "files", "shares"),
    [
        ("", "", [MEMORY], False),
        ("memory:", "memory:", [MEMORY], False),
        ("sqlite:a.db", "", ["a.db"], True),
        ("sqlite:a.db", "sqlite:a.db", ["a.db"], True),
        ("sqlite:a.db", "sqlite:./a.db", ["a.db"], True),
        ("sqlite:a.db", "sqlite:link.db", ["a.db"], True),
        ("sqlite:first.db", "sqlite:second.db", ["first.db"], True),
        ("sqlite:a.db", "memory:", ["a.db"], False),
        ("sqlite:a.db", "sqlite:b.db", ["a.db", "b.db"], False),
        ("memory:", "sqlite:b.db", ["b.db", MEMORY], False),
    ],
)
def test_the_settings_name_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    log: str,
    files: list[str],
    shares: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    (tmp_path / "first.db").touch()
    (tmp_path / "second.db").hardlink_to(tmp_path / "first.db")
    made = storage(store, log)
    assert [database.path for database in made.databases] == files
    assert made.store in made.databases
    assert (made.shared_log is not None) is shares
    in_memory = log == "memory:" or (not log and store in ("", "memory:"))
    assert isinstance(made.log, MemoryLog if in_memory else SQLiteLog)
    path = log_path(StoreSettings(url=store), LogSettings(url=log))
    assert (path is None) is in_memory


@pytest.mark.parametrize(("store", "log", "field"), [("x:", "", "store.url"), ("memory:", "y:", "log.url")])
def test_an_unknown_url_names_its_setting(store: str, log: str, field: str) -> None:
    store_settings, log_settings = StoreSettings(), LogSettings()
    object.__setattr__(store_settings, "url", store)  # the settings refuse it, too
    object.__setattr__(log_settings, "url", log)
    with pytest.raises(ConfigError) as caught:
        make_storage(store_settings, log_settings, RedisSettings(), SteadyClock())
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("store", "log", "keeps_tasks", "keeps_events"),
    [
        ("sqlite:{}/a.db", "", True, True),
        ("sqlite:{}/a.db", "memory:", True, False),
        ("sqlite:{}/a.db", "sqlite:{}/b.db", True, True),
        ("memory:", "sqlite:{}/b.db", False, True),
    ],
)
async def test_tasks_and_events_survive_where_they_are_kept_in_a_file(
    tmp_path: Path,
    store: str,
    log: str,
    keeps_tasks: bool,
    keeps_events: bool,
) -> None:
    settings = RuntimeSettings(
        store=StoreSettings(url=store.format(tmp_path)), log=LogSettings(url=log.format(tmp_path))
    )
    for run in (1, 2):
        runtime = Runtime.create(settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(runtime.run)
            await runtime.check_storage()
            hub, tasks = runtime.broker.hub, runtime.tasks
            if run == 1:
                await hub.publish("a", "1")
                await tasks.create("remote", id="t", worker="w", timeout_seconds=100)
                await tasks.complete("t", 1)
                await _end_of_task(runtime)
                with trio.fail_after(30):
                    while await tasks.store.outbox_depth():  # otherwise its last rows are published again
                        await trio.lowlevel.checkpoint()
            else:
                events = await _events(runtime, "a", "tasks/t")
                assert events == (["1", "pending", "running", "completed"] if keeps_events else [])
                found = [task.status for task in await tasks.list()]
                assert found == ([Status.COMPLETED] if keeps_tasks else [])
            nursery.cancel_scope.cancel()


async def _events(runtime: Runtime, *topics: str) -> list[str]:
    log = runtime.broker.log
    page = await log.read(Selectors(topics=topics), EARLIEST, max_events=100, max_bytes=1_000_000)
    return [event.value if isinstance(event.value, str) else event.value["status"] for event in page.events]


async def _end_of_task(runtime: Runtime) -> None:
    """Wait until the last event of the task is in the log."""
    with trio.fail_after(30):
        while "completed" not in await _events(runtime, "tasks/t"):
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("store", "log", "shared"),
    [
        ("redis://a/1", "", True),
        ("redis://a/1", "redis://a/1", True),
        ("redis:", "redis://a/1", True),
        ("redis://a/1", "redis:", True),
        ("memory:", "redis://a/1", False),
        ("sqlite:a.db", "redis:", False),
        ("", "redis+unix:///run/redis.sock", False),
    ],
)
def test_redis_has_the_log_and_the_store_or_the_log_alone(store: str, log: str, shared: bool) -> None:
    made = make_storage(
        StoreSettings(url=store),
        LogSettings(url=log),
        RedisSettings(prefix="p"),
        SteadyClock(),
        environment={"REDIS_URL": "redis://a:6379/1"},
    )
    assert made.log is made.redis_log
    assert made.redis_log is not None
    assert made.redis_log.prefix == "{p}"
    assert made.has_shared_store is shared
    assert len(made.databases) == 1
    assert log_path(StoreSettings(url=store), LogSettings(url=log)) is None


@pytest.mark.parametrize("log", ["memory:", "sqlite:a.db", "redis://other/1", "redis://a/2"])
def test_a_store_in_redis_needs_the_log_there(log: str) -> None:
    with pytest.raises(ConfigError) as caught:
        storage("redis://a/1", log)
    assert caught.value.field == "store.url"


def test_the_default_store_is_where_a_log_in_redis_is() -> None:
    assert with_store(Settings(log=LogSettings(url="redis://a"))).store.url == "redis://a"
    assert with_store(Settings(log=LogSettings(url="memory:"))).store.url == DEFAULT_STORE
    own = Settings(log=LogSettings(url="redis://a"), store=StoreSettings(url="memory:"))
    assert with_store(own).store.url == "memory:"


async def test_a_store_that_cannot_be_opened_is_an_error_beside_a_log_in_redis(tmp_path: Path) -> None:
    settings = RuntimeSettings(
        log=LogSettings(url=shared_server().url),
        redis=RedisSettings(prefix=new_prefix().strip("{}")),
        store=StoreSettings(url=f"sqlite:{tmp_path}/missing/a.db"),
    )
    with trio.fail_after(30), pytest.RaisesGroup(ConfigError, flatten_subgroups=True):
        await Runtime.create(settings).run()
