"""The computations of an analysis, part by part."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from streamd.errors import InvalidBody
from streamd.services.brand_monitor.analysis import count_terms, cut, find_names, score_mentions, summarize
from streamd.services.brand_monitor.models import Analysis, Mention
from streamd.steps import Steps, run_at_once

START = datetime(2026, 3, 1, tzinfo=UTC)
TEXTS = ["Acme is great", "Bolt and Acme are bad", "The weather is bad", "bolt works well, and Bolt is good"]


def analysis(count: int) -> bytes:
    mentions = [
        Mention(f"{TEXTS[number % 4]} {number % 5}", f"source {number % 3}", START + timedelta(hours=number))
        for number in range(count)
    ]
    return msgspec.json.encode(Analysis("Acme", ["Bolt"], mentions))


def analyse(raw_input: bytes, max_mentions: int) -> Any:
    whole = run_at_once(cut(raw_input, max_mentions))
    named = [run_at_once(find_names(whole.names, part)) for part in whole.parts]
    tones = [run_at_once(score_mentions(part.of_brand)) for part in named]
    terms = [run_at_once(count_terms(part.found)) for part in named]
    return msgspec.json.decode(run_at_once(summarize(whole, [part.voice for part in named], tones, terms)))


@pytest.mark.parametrize("max_mentions", [1, 7, 100])
def test_the_result_does_not_depend_on_the_parts(max_mentions: int) -> None:
    result = analyse(analysis(100), max_mentions)
    assert result == analyse(analysis(100), 1000)
    assert result["mentions"] == {"total": 100, "brand": 50, "nobody": 25}
    assert result["sentiment"]["overall"]["mentions"] == 50
    assert {"term": "weather", "count": 25} in result["terms"]["all"]["words"]


def test_a_part_is_bounded_in_mentions_and_in_characters() -> None:
    def counts(raw_input: bytes) -> list[int]:
        return [part.count for part in run_at_once(cut(raw_input, 40)).parts]

    assert counts(analysis(100)) == [40, 40, 20]
    assert counts(analysis(0)) == []
    long = [Mention("x" * 30_000, "s", START)] * 5
    assert counts(msgspec.json.encode(Analysis("Acme", [], long))) == [2, 2, 1]


def test_each_step_of_a_computation_is_at_most_a_mention() -> None:
    def steps(computation: Steps[Any]) -> int:
        return sum(1 for _ in computation)

    [part] = run_at_once(cut(analysis(100), 1000)).parts
    assert steps(find_names(["Acme"], part)) >= 100
    assert steps(score_mentions(part)) >= 100
    assert steps(count_terms(run_at_once(find_names(["Acme"], part)).found)) >= 100


@pytest.mark.parametrize("raw_input", [b"null", b"{}", b"[1]", b"nothing"])
def test_an_input_that_is_no_analysis_is_refused(raw_input: bytes) -> None:
    with pytest.raises(InvalidBody):
        run_at_once(cut(raw_input, 10))
