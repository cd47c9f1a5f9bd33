"""The tables of the comparison of browser clients: medians, ranges, losses and failures."""

import json
from math import inf

import pytest

from bench.browser.bundles import Size
from bench.browser.faults import CASES
from bench.browser.faults.base import show_losses
from bench.browser.faults.buffering import show_buffered
from bench.browser.faults.outages import show_back
from bench.browser.tables import (
    CostColumn,
    Results,
    combine,
    cost_cell,
    describe,
    fault_cell,
    markdown,
    size_table,
)

CPU = CostColumn("main_ms", "CPU")


def test_losses_are_those_of_the_worst_run_and_times_are_medians() -> None:
    runs = [{"missing": 0, "back_s": 9.0}, {"missing": 3, "back_s": 1.0}, {"missing": 0, "back_s": 2.0}]
    assert combine(runs) == {"missing": 3, "back_s": 2.0}


def test_a_client_that_came_back_in_a_minority_of_runs_did_not_come_back() -> None:
    assert combine([{"back_s": inf}, {"back_s": inf}, {"back_s": 1.0}])["back_s"] == inf


def test_texts_that_differ_between_runs_are_all_shown() -> None:
    runs = [{"transport": "poll"}, {"transport": "websocket"}, {"transport": "poll"}]
    assert combine(runs) == {"transport": "poll or websocket"}


def test_a_cost_has_its_range_unless_all_runs_are_equal() -> None:
    assert cost_cell(Results([{"main_ms": 30.0}, {"main_ms": 10.0}, {"main_ms": 20.0}]), CPU) == "20 (10–30)"
    assert cost_cell(Results([{"main_ms": 1234.2}, {"main_ms": 1234.4}]), CPU) == "1,234"
    assert cost_cell(Results(), CPU) == "–"


def test_a_failed_run_is_shown_in_its_cell() -> None:
    results = Results()
    results.add(lambda: {"missing": 1, "repeated": 0})

    def fail() -> dict[str, float]:
        raise RuntimeError("no stream")

    results.add(fail)
    assert fault_cell(results, show_losses) == "1 lost (failed in 1 of 2: no stream)"


def test_a_client_that_does_not_come_back_is_null_in_json() -> None:
    written = json.loads(json.dumps(describe(Results([{"back_s": inf, "missing": 2}])), allow_nan=False))
    assert written == {"runs": [{"back_s": None, "missing": 2}], "failures": []}


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"back_s": 1.25, "missing": 0, "repeated": 0}, "back after 1.2 s, 0 lost"),
        ({"back_s": 1.0, "missing": 4, "repeated": 2}, "back after 1.0 s, 4 lost, 2 repeated"),
        ({"back_s": inf, "missing": 10, "repeated": 0}, "not back in 15 s, 10 lost"),
    ],
)
def test_the_way_back_is_told_with_its_losses(counts: dict[str, float], text: str) -> None:
    assert show_back(counts) == text


def test_a_transport_is_named_with_the_time_of_its_first_event() -> None:
    assert show_buffered({"first_s": 5.64, "transport": "websocket"}) == "events after 5.6 s by WebSocket"
    assert show_buffered({"first_s": inf, "transport": ""}) == "nothing in 15 s"


def test_every_case_has_a_title_of_its_own() -> None:
    assert len({case.title for case in CASES}) == len(CASES)


def test_tables_are_markdown() -> None:
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert size_table({"one": Size(12_345, 678)}).splitlines()[-1] == "| one | 12,345 | 678 |"
