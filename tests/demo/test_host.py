"""The host's figures: states, rates, and figures that a system does not have."""

import os
from datetime import UTC, datetime
from typing import NoReturn

import psutil
import pytest

from streamd.demo import HostSampler


class Clock:
    """A monotonic clock set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_first_sample_has_states_but_no_rates() -> None:
    figures = HostSampler().sample()
    assert figures["interval_seconds"] is None
    assert figures["cpu"]["percent"] is None
    assert figures["cpu"]["per_core_percent"] is None
    assert figures["disk"]["read_bytes_per_second"] is None
    assert figures["network"]["sent_bytes_per_second"] is None
    assert figures["memory"]["total_bytes"] == psutil.virtual_memory().total
    assert 0 < figures["memory"]["used_bytes"] < figures["memory"]["total_bytes"]
    assert len(figures["cpu"]["load_average"]) == 3
    assert figures["disk"]["root"]["total_bytes"] > 0
    assert figures["uptime"]["machine_seconds"] > 0


def test_timestamp_is_rfc3339_in_utc_with_milliseconds() -> None:
    timestamp = HostSampler().sample()["timestamp"]
    assert len(timestamp) == len("2026-01-01T00:00:00.000Z")
    moment = datetime.fromisoformat(timestamp)
    assert timestamp.endswith("Z")
    assert abs(moment.timestamp() - datetime.now(UTC).timestamp()) < 60


def test_the_second_sample_has_the_work_since_the_first() -> None:
    sampler = HostSampler()
    sampler.sample()
    before = os.times()
    while os.times().user - before.user < 0.1:  # CPU time passes on a loaded machine, too
        sum(range(10_000))
    figures = sampler.sample()
    assert figures["interval_seconds"] > 0
    assert 0 < figures["cpu"]["percent"] <= 100
    assert len(figures["cpu"]["per_core_percent"]) == psutil.cpu_count()
    assert all(0 <= percent <= 100 for percent in figures["cpu"]["per_core_percent"])


class Nic:
    def __init__(self, received: int, sent: int) -> None:
        self.bytes_recv = received
        self.bytes_sent = sent


@pytest.fixture
def nics(monkeypatch: pytest.MonkeyPatch) -> dict[str, Nic]:
    """Replace the kernel's interface counters by ones that the test sets."""
    counters: dict[str, Nic] = {"lo": Nic(0, 0), "eth0": Nic(1_000, 500)}
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: dict(counters))
    return counters


def test_rates_are_bytes_per_second_without_loopback(nics: dict[str, Nic]) -> None:
    clock = Clock()
    sampler = HostSampler(clock)
    sampler.sample()
    clock.now += 2.0
    nics.update(lo=Nic(9_000, 9_000), eth0=Nic(5_000, 1_500))
    figures = sampler.sample()
    assert figures["network"] == {"received_bytes_per_second": 2_000.0, "sent_bytes_per_second": 500.0}
    assert figures["interval_seconds"] == 2.0


def test_a_decreased_counter_gives_no_rate_until_the_next_sample(nics: dict[str, Nic]) -> None:
    clock = Clock()
    sampler = HostSampler(clock)
    sampler.sample()
    clock.now += 1.0
    nics["eth0"] = Nic(10, 20)
    assert sampler.sample()["network"]["received_bytes_per_second"] is None
    clock.now += 1.0
    nics["eth0"] = Nic(40, 20)
    assert sampler.sample()["network"]["received_bytes_per_second"] == 30.0


def test_a_new_interface_counts_from_its_second_sample(nics: dict[str, Nic]) -> None:
    clock = Clock()
    sampler = HostSampler(clock)
    sampler.sample()
    clock.now += 1.0
    nics["eth1"] = Nic(1_000_000, 0)
    assert sampler.sample()["network"]["received_bytes_per_second"] == 0.0
    clock.now += 1.0
    nics["eth1"] = Nic(1_000_700, 0)
    assert sampler.sample()["network"]["received_bytes_per_second"] == 700.0


def test_figures_hidden_by_a_container_are_none_and_the_others_remain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hidden(*_: object, **__: object) -> NoReturn:
        raise FileNotFoundError("/proc/diskstats")

    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "disk_usage", hidden)
    monkeypatch.setattr(psutil, "swap_memory", hidden)
    sampler = HostSampler()
    sampler.sample()
    figures = sampler.sample()
    assert figures["disk"] == {"read_bytes_per_second": None, "written_bytes_per_second": None, "root": None}
    assert figures["swap"] is None
    assert figures["memory"]["total_bytes"] > 0
