"""A quick part of the attacks: the limits hold, with margins for a machine that does other things, too."""

from pathlib import Path
from typing import Final

import pytest

from tests.hostile.attack import ATTACKS
from tests.hostile.attacks import load_attacks
from tests.hostile.figures import LINES_PER_SECOND_MAX, PASS_SECONDS_MAX, STEP_SECONDS_MAX
from tests.hostile.run import Attacker, measure

QUICK: Final = (
    "slow-heads",
    "malformed-heads",
    "one-byte-chunks",
    "header-bomb",
    "fragments-without-end",
    "wrong-lines",
    "blank-lines",
    "many-kinds",
    "waiting-claims",
    "small-batches-of-items",
)
SECONDS: Final = 600
MARGIN: Final = (
    5  # a step has the garbage collector's work in it, and caches that other programs have emptied
)
GROWTH_MAX: Final = 0.5


@pytest.mark.soak
@pytest.mark.timeout(SECONDS)
async def test_no_quick_attack_holds_the_loop_or_fills_the_memory(tmp_path: Path) -> None:
    load_attacks()
    async with Attacker() as hostile:
        for name in QUICK:
            row = await measure(ATTACKS[name], tmp_path / name, hostile)
            figures = (
                f"{name}: {row.step}, {row.loop_pass}, {row.growth:+.0%}, {row.lines_per_second} lines/s"
            )
            assert row.problem == "", figures
            assert row.step.seconds <= MARGIN * STEP_SECONDS_MAX, figures
            assert row.loop_pass.seconds <= MARGIN * PASS_SECONDS_MAX, figures
            assert row.growth < GROWTH_MAX, figures
            assert row.lines_per_second <= LINES_PER_SECOND_MAX, figures
            assert row.latency.failed == row.health.failed == 0, figures
