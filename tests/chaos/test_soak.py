"""Hundreds of kills among all other faults: no event is lost without a gap, repeated or invented."""

import os
import random
from pathlib import Path

import pytest

from tests.chaos.plan import Plan
from tests.chaos.redis_side import REDIS_LOGS
from tests.chaos.run import Run

KILLS = 200
REDIS_ROUNDS = {"redis:": 60, "redis:everysec": 50, "redis:sentinel": 25}
SECONDS = 1000  # a round takes about half a second; a machine under load takes longer


# httpx leaves the generator of a request's body unfinished when the connection is cut under it.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
@pytest.mark.soak
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("log", ["sqlite:{folder}/streamd.db", "sqlite:{folder}/events.db", "memory:"])
async def test_no_kill_breaks_a_promise(tmp_path: Path, log: str) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1_000_000)))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - shown with a failure
    report = await Run(Plan(folder=tmp_path, rounds=3 * KILLS, kills=KILLS, seed=seed, log=log)).run()
    assert [story for _, story in report.violations][:5] == []
    assert report.kills >= KILLS


@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
@pytest.mark.soak
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("log", REDIS_LOGS)
async def test_no_fault_of_redis_breaks_a_promise(tmp_path: Path, log: str) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1_000_000)))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - shown with a failure
    plan = Plan(folder=tmp_path, rounds=REDIS_ROUNDS[log], part_rounds=10, seed=seed, log=log, nodes=2)
    report = await Run(plan).run()
    assert [story for _, story in report.violations][:5] == []
    assert report.rounds == REDIS_ROUNDS[log]
    assert bool(report.gaps) == (log != "redis:")
