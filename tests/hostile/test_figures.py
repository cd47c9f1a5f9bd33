"""The harness itself: the meter of steps, the limits, the table."""

import itertools
import os
import struct
import time
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio

from tests.hostile.attack import ATTACKS
from tests.hostile.attacks import KINDS, load_attacks
from tests.hostile.beside import Times
from tests.hostile.figures import HEADINGS, Phase, Row, cells, explain, table
from tests.hostile.http2 import SETTINGS
from tests.hostile.http2 import frame as http2_frame
from tests.hostile.process import waited_seconds
from tests.hostile.steps import Longest, StepFigures, StepMeter
from tests.hostile.target import slices
from tests.hostile.websocket import PING
from tests.hostile.websocket import frame as websocket_frame

SPUN_SECONDS: Final = 0.05
QUIET: Final = Phase(
    seconds=2.0,
    latency=Times([0.01] * 9),
    health=Times([0.02] * 9),
    step=Longest(0.001, "step"),
    loop_pass=Longest(0.002, "pass"),
    peak_bytes=80_000_000,
    files_peak=20,
    cpu_seconds=0.5,
    lines=20,
    waited_seconds=0.1,
)


def row(**changes: Any) -> Row:
    """Return the figures of an attack with changes in its second round."""
    return Row("a", "http1", QUIET, [QUIET, attrs.evolve(QUIET, **changes)], QUIET)


def spin() -> None:
    """Use CPU time of this thread."""
    until = time.thread_time() + SPUN_SECONDS
    while time.thread_time() < until:
        pass


async def test_the_meter_finds_the_longest_step_and_pass(tmp_path: Path) -> None:
    figures = StepFigures(tmp_path / "steps")
    meter = StepMeter(tmp_path / "steps")
    figures.begin()
    trio.lowlevel.add_instrument(meter)

    async def spin_twice() -> None:
        spin()
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for _ in range(3):  # in one pass, and then each ends in another
            nursery.start_soon(spin_twice)
    await trio.lowlevel.checkpoint()
    assert SPUN_SECONDS <= figures.step.seconds < 2.9 * SPUN_SECONDS
    assert figures.loop_pass.seconds >= 3 * SPUN_SECONDS
    assert "spin_twice" in figures.step.task
    assert "spin_twice" in figures.loop_pass.task
    figures.begin()
    assert figures.step == figures.loop_pass == Longest()
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    assert 0 < figures.step.seconds < SPUN_SECONDS
    trio.lowlevel.remove_instrument(meter)


def test_a_quiet_attack_breaks_no_limit() -> None:
    assert row().broken == []


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"step": Longest(0.021, "t"), "loop_pass": Longest(0.021, "t")}, ["step"]),
        ({"loop_pass": Longest(0.051, "t")}, ["pass"]),
        ({"latency": Times([0.01] * 8 + [0.12])}, ["p99"]),
        ({"latency": Times([0.01], failed=1)}, ["lost"]),
        ({"health": Times([0.01] * 8 + [1.1])}, ["health"]),
        ({"health": Times([0.01], failed=1)}, ["health"]),
        ({"peak_bytes": 88_000_001}, ["memory"]),
        ({"lines": 2000}, ["log"]),
    ],
)
def test_each_limit_is_broken_alone(changes: dict[str, object], broken: list[str]) -> None:
    assert row(**changes).broken == broken


def test_an_attack_that_did_not_end_has_its_reason_alone() -> None:
    assert attrs.evolve(row(lines=2000), problem="the server ended").broken == ["the server ended"]


def test_the_table_has_a_row_for_each_attack_and_counts_those_that_hold() -> None:
    rows = [row(), attrs.evolve(row(lines=2000), name="b", ran="module:1 function")]
    lines = table(rows).splitlines()
    assert {line.count("|") for line in lines[:5]} == {len(HEADINGS) + 1}
    assert lines[2].startswith("| **http1** |")
    assert lines[-1] == "All limits hold under 1 of 2 attacks."
    assert explain(rows) == "- b: longest step in step; slow passes ran module:1 function"
    assert cells(rows[0])[-1] == "-"


def test_the_share_of_waits_for_a_core_is_of_both_rounds() -> None:
    shown = row(waited_seconds=0.5)  # 0.6 s of 4
    assert cells(shown)[HEADINGS.index("waits")] == "15%"


def test_a_thread_that_waits_for_a_core_is_measured() -> None:
    before = waited_seconds(os.getpid())
    assert before > 0
    assert waited_seconds(os.getpid()) >= before
    assert waited_seconds(0) == 0


@pytest.mark.parametrize(("share", "expected"), [(0.5, 3.0), (0.99, 4.0), (1, 4.0)])
def test_quantiles_are_values_that_occurred(share: float, expected: float) -> None:
    assert Times([4.0, 1.0, 2.0, 3.0]).quantile(share) == expected


def test_slices_have_the_same_bytes() -> None:
    blobs = [b"abc", b"", b"defghij", b"k"]
    parts = list(slices(iter(blobs), 4))
    assert parts == [b"abcd", b"efgh", b"ijk"]


def test_slices_of_an_endless_body_are_made_as_they_are_needed() -> None:
    assert next(slices(itertools.repeat(b"ab"), 5)) == b"ababa"


def test_frames_are_those_of_the_standards() -> None:
    assert http2_frame(SETTINGS, 1, 0) == bytes.fromhex("000000 04 01 00000000")
    assert http2_frame(0, 0, 3, b"x" * 70_000)[:9] == bytes.fromhex("011170 00 00 00000003")
    assert websocket_frame(PING, b"hi") == bytes.fromhex("89 82 00000000") + b"hi"
    assert websocket_frame(0, b"x" * 126, final=False)[:4] == bytes.fromhex("00 fe") + struct.pack(">H", 126)


def test_there_are_attacks_of_each_kind() -> None:
    load_attacks()
    kinds = [each.kind for each in ATTACKS.values()]
    assert set(kinds) == set(KINDS)
    assert len(kinds) >= 60
    assert {each.tls for each in ATTACKS.values() if each.kind == "http2"} == {False, True}
    assert all(each.says.endswith(".") for each in ATTACKS.values())
