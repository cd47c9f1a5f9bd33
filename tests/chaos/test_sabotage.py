"""The checker on real servers: it finds each fault that is put into the log, and finds nothing without."""

from pathlib import Path

import pytest

from tests.chaos.plan import Plan, Report
from tests.chaos.run import Run

ROUNDS = 40  # at most; a violation ends the run with its part
PART_ROUNDS = 4
KILLS = 8
ON_DISK = "sqlite:{folder}/streamd.db"

# httpx leaves the generator of a request's body unfinished when the connection is cut under it.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")


async def run(folder: Path, **options: object) -> Report:
    plan = Plan(folder=folder, rounds=ROUNDS, part_rounds=PART_ROUNDS, seed=1, **options)  # type: ignore[arg-type]
    return await Run(plan).run()


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("early-ack", {"two-events", "two-contents", "loss"}),
        ("drop", {"loss"}),
        pytest.param("twice", {"repeat"}, marks=pytest.mark.soak),
        pytest.param("order", {"order"}, marks=pytest.mark.soak),
        pytest.param("content", {"invented"}, marks=pytest.mark.soak),
        pytest.param("forget-keys", {"two-events"}, marks=pytest.mark.soak),
        pytest.param("hide-gap", {"loss"}, marks=pytest.mark.soak),
    ],
)
async def test_fault_in_the_log_is_found(tmp_path: Path, fault: str, kinds: set[str]) -> None:
    report = await run(tmp_path, fault=fault, rate=4, only=("kill", "cut"))
    assert report.kinds & kinds, report


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("skip", "loss"),
        pytest.param("forget", "loss", marks=pytest.mark.soak),
        pytest.param("false-gap", "needless-gap", marks=pytest.mark.soak),
    ],
)
async def test_fault_in_reading_the_log_is_found(tmp_path: Path, fault: str, kind: str) -> None:
    report = await run(tmp_path, fault=fault, rate=1, only=("cut",))
    assert kind in report.kinds, report


@pytest.mark.parametrize(
    ("fault", "kind"), [(None, "gap"), pytest.param("hide-gap", "loss", marks=pytest.mark.soak)]
)
async def test_log_that_keeps_nothing_on_disk_is_found(tmp_path: Path, fault: str | None, kind: str) -> None:
    report = await run(tmp_path, durable=True, fault=fault, only=("kill",))
    assert kind in report.kinds, report


@pytest.mark.soak
async def test_log_on_disk_that_acknowledges_too_early_is_found(tmp_path: Path) -> None:
    report = await run(tmp_path, log=ON_DISK, fault="early-ack", rate=4, only=("kill",))
    assert report.kinds & {"two-events", "loss"}, report


async def test_log_on_disk_passes_without_a_gap(tmp_path: Path) -> None:
    report = await run(tmp_path, kills=KILLS, log=ON_DISK)
    assert [story for _, story in report.violations] == []
    assert report.kills >= KILLS
    assert report.gaps == 0


async def test_log_without_a_fault_passes(tmp_path: Path) -> None:
    report = await run(tmp_path, kills=KILLS)
    assert [story for _, story in report.violations] == []
    assert report.kills >= KILLS
    assert report.gaps, "the memory log loses events with its process"
