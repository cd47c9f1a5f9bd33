"""The monitor of the event loop: a histogram of its passes, and a warning about slow ones."""

import threading
import weakref
from typing import Any, Final

import pytest
import structlog.testing
import trio
from prometheus_client import generate_latest

from streamd.metrics import Metrics
from streamd.server import LoopMonitor, ServerSettings
from tests.support.blocking_app import BLOCKED_SECONDS, block
from tests.support.waiting import until

SLOW_MS: Final = 100
PASSES: Final = "streamd_loop_pass_seconds"


class Local:
    """A variable of a function that is sampled."""


class Loop:
    """An event loop that the test turns by hand, on a clock of the test."""

    def __init__(self, slow_pass_ms: int = SLOW_MS) -> None:
        self.now = 1.0
        self.metrics = Metrics(max_type_labels=1)
        settings = ServerSettings(slow_pass_ms=slow_pass_ms)
        self.monitor = LoopMonitor(self.metrics, settings, clock=lambda: self.now)

    def turn(self, seconds: float, idle: float = 0.0) -> list[Any]:
        """Run a pass and a wait for I/O, and return the log lines."""
        with structlog.testing.capture_logs() as lines:
            self.monitor.after_io_wait(0)
            self.now += seconds
            self.monitor.before_io_wait(0)
        self.now += idle
        return lines


def test_each_pass_is_counted_by_its_duration() -> None:
    loop = Loop()
    loop.monitor.before_io_wait(0)  # the end of the pass that started the monitor
    for seconds in (0.0005, 0.004, 0.004):
        loop.turn(seconds, idle=60)
    text = generate_latest(loop.metrics.registry).decode()
    assert f'{PASSES}_bucket{{le="0.001"}} 1.0' in text
    assert f'{PASSES}_bucket{{le="0.005"}} 3.0' in text
    assert f"{PASSES}_sum 0.0085" in text


def test_a_pass_is_slow_from_the_setting_on() -> None:
    loop = Loop()
    assert loop.turn(0.0999, idle=60) == []
    [line] = loop.turn(0.1001, idle=60)
    assert (line["event"], line["log_level"], line["seconds"]) == ("slow_pass", "warning", 0.1)


def test_a_flood_of_slow_passes_is_one_line_a_second() -> None:
    loop = Loop()
    lines = [line for _ in range(25) for line in loop.turn(0.125, idle=0.001)]
    assert [line["others"] for line in lines] == [0, 7, 7, 7]


@pytest.mark.parametrize("before", [0, 10_000])
def test_the_setting_takes_effect_at_once(before: int) -> None:
    loop = Loop(before)
    assert loop.turn(9.0) == []
    loop.monitor.apply_settings(ServerSettings(slow_pass_ms=SLOW_MS))
    assert len(loop.turn(0.2, idle=60)) == 1
    loop.monitor.apply_settings(ServerSettings(slow_pass_ms=0))
    assert loop.turn(9.0, idle=60) == []


async def test_the_warning_has_what_ran() -> None:
    metrics = Metrics(max_type_labels=1)
    settings = ServerSettings(slow_pass_ms=20)
    kept: list[weakref.ref[Local]] = []
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LoopMonitor(metrics, settings).run)
            await until(lambda: f"{PASSES}_sum 0.0\n" not in generate_latest(metrics.registry).decode())

            async def view() -> None:
                local = Local()
                kept.append(weakref.ref(local))
                block()

            nursery.start_soon(view)
            await until(lambda: any(line["seconds"] >= BLOCKED_SECONDS for line in lines))
            assert kept[0]() is None, "a sample keeps nothing alive"
            nursery.cancel_scope.cancel()
    [line] = [line for line in lines if line["seconds"] >= BLOCKED_SECONDS]
    functions = [each.split(" ")[-1].split(".")[-1] for each in line["ran"]]
    assert functions == ["view", "block"]
    assert not any(thread.name == "loop-monitor" for thread in threading.enumerate())
