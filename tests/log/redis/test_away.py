"""A runtime whose Redis goes away and comes back."""

from pathlib import Path

import pytest
import trio

from streamd.errors import Unavailable
from streamd.events import EARLIEST, Event, Selectors
from streamd.hub import SendQueue
from streamd.log.settings import LogSettings
from streamd.redis.address import RedisAddress
from streamd.redis.settings import RedisSettings
from streamd.runtime import Runtime, RuntimeSettings
from tests.support.redis_servers import RedisServer, free_port, new_prefix
from tests.support.waiting import until

# coredis leaves the buffers of a connection open that is refused.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

TOPIC = Selectors(topics=["a"])


def make_runtime(url: str) -> Runtime:
    redis = RedisSettings(prefix=new_prefix().strip("{}"))
    return Runtime.create(RuntimeSettings(log=LogSettings(url=url), redis=redis))


def connected(runtime: Runtime) -> float | None:
    return runtime.broker.metrics.registry.get_sample_value("streamd_redis_connected")


async def is_unavailable(runtime: Runtime) -> bool:
    try:
        await runtime.check_storage()
    except Unavailable:
        return True
    return False


async def test_readers_stay_and_publishing_is_refused_while_redis_is_away(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, 0, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    runtime = make_runtime(server.url)
    hub = runtime.broker.hub
    try:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await nursery.start(runtime.run)
                await runtime.check_storage()
                assert connected(runtime) == 1
                with hub.subscribe(TOPIC, EARLIEST, SendQueue(10, 10_000)) as subscription:
                    await hub.publish("a", "before")
                    server.kill()
                    await until(lambda: connected(runtime) == 0)
                    with pytest.raises(Unavailable) as caught:
                        await hub.publish("a", "lost")
                    assert caught.value.retry_after_seconds == 1
                    while not await is_unavailable(runtime):  # a result may be a second old
                        pass
                    server.start()
                    await until(lambda: connected(runtime) == 1)
                    await hub.publish("a", "after")
                    frames: list[object] = []
                    while len(frames) < 2:
                        frames += await subscription.receive()
                    assert [frame.data for frame in frames if isinstance(frame, Event)] == ["before", "after"]
                while await is_unavailable(runtime):
                    pass
                nursery.cancel_scope.cancel()
    finally:
        server.kill()


async def test_a_server_that_is_away_at_the_start_is_named_without_its_password(
    autojump_clock: trio.testing.MockClock,
) -> None:
    port = free_port()
    runtime = make_runtime(f"redis://ann:secret@127.0.0.1:{port}/3")
    with pytest.RaisesGroup(pytest.RaisesExc(Unavailable), flatten_subgroups=True) as caught:
        await runtime.run()
    [error] = caught.value.exceptions
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, Unavailable)
    assert str(RedisAddress(hosts=[("127.0.0.1", port)], database=3)) in error.detail
    assert "secret" not in error.detail
