"""The checker on the log in Redis: it passes two nodes on it, and finds each fault that is put into it."""

from pathlib import Path

import pytest

from tests.chaos.plan import Plan, Report
from tests.chaos.run import Run

ROUNDS = 40  # at most; a violation ends the run with its part
PART_ROUNDS = 4

# httpx leaves the generator of a request's body unfinished when the connection is cut under it.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")


async def run(folder: Path, rounds: int = ROUNDS, **options: object) -> Report:
    plan = Plan(folder=folder, rounds=rounds, part_rounds=PART_ROUNDS, seed=1, nodes=2, **options)  # type: ignore[arg-type]
    return await Run(plan).run()


async def test_log_that_keeps_everything_passes_without_a_gap(tmp_path: Path) -> None:
    only = ("redis-kill", "redis-cut", "redis-memory", "redis-scripts", "kill")
    report = await run(tmp_path, PART_ROUNDS, log="redis:", only=only)
    assert [story for _, story in report.violations] == []
    assert (report.rounds, report.gaps) == (PART_ROUNDS, 0)


async def test_log_that_loses_its_last_writes_passes_with_gaps(tmp_path: Path) -> None:
    report = await run(tmp_path, PART_ROUNDS, log="redis:everysec", only=("redis-lose",))
    assert [story for _, story in report.violations] == []
    assert report.gaps


@pytest.mark.parametrize(
    ("fault", "log", "only", "kinds"),
    [
        pytest.param(
            "early-ack", "redis:", ("kill",), {"loss", "two-events"}, id="early-ack", marks=pytest.mark.soak
        ),
        # An event that is sent again is another one, or refused because of its key although it is there.
        pytest.param(
            "redis-no-results",
            "redis:",
            ("redis-cut",),
            {"two-events", "refused"},
            id="no-results",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            "redis-no-witness",
            "redis:everysec",
            ("redis-lose",),
            {"loss"},
            id="no-witness",
            marks=pytest.mark.soak,
        ),
        pytest.param("redis-skip-tail", "redis:", ("redis-cut",), {"loss"}, id="skip-tail"),
        pytest.param(
            "redis-always-lost", "redis:", ("redis-kill",), {"gap"}, id="always-lost", marks=pytest.mark.soak
        ),
        pytest.param("skip", "redis:", ("cut",), {"loss"}, id="skip", marks=pytest.mark.soak),
    ],
)
async def test_fault_in_the_log_is_found(
    tmp_path: Path, fault: str, log: str, only: tuple[str, ...], kinds: set[str]
) -> None:
    report = await run(tmp_path, log=log, fault=fault, rate=2, only=only)
    assert report.kinds & kinds, report
