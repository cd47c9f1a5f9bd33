"""Validation of requests with items, their defaults, and the scoring of texts."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

from streamd.errors import InvalidField, StreamdError, TooLarge
from streamd.events.settings import EventSettings
from streamd.services.sentiment.items import SCORED_COST_MAX, Item, read_items
from streamd.services.sentiment.models import Sentiment
from streamd.services.sentiment.settings import SentimentSettings
from streamd.steps import Steps, run_at_once
from streamd.text import normalize_text, sentiment_of, vader
from streamd.text.vader import score_in_steps, score_text

NOW_MS = 1_700_000_000_123
NOW = datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
SETTINGS = SentimentSettings(max_items_per_request=5, max_text_chars=50, max_item_id_chars=8)
GOOD, BAD = "A great success!", "A terrible failure."
GOOD_SCORE, BAD_SCORE = 0.8439, -0.7506


def read(
    *items: Any, settings: SentimentSettings = SETTINGS, limits: EventSettings | None = None
) -> list[Item]:
    body = json.dumps({"items": items}).encode()
    return run_at_once(read_items(body, NOW_MS, settings, limits or EventSettings(), score_in_steps))


def item(**fields: Any) -> dict[str, Any]:
    return {"ticker": "AAPL", "text": "They make telephones.", **fields}


def data_of(item: Item) -> Any:
    return msgspec.json.decode(item.draft.data)


def test_omitted_fields_get_their_defaults() -> None:
    [read_one] = read({"ticker": " brk.b ", "text": GOOD})
    assert read_one.ticker == "BRK.B"
    assert read_one.timestamp_ms == NOW_MS
    assert read_one.score == SentimentIntensityAnalyzer().polarity_scores(GOOD)["compound"] == GOOD_SCORE
    assert read_one.sentiment is Sentiment.POSITIVE
    assert len(read_one.id) == 32
    assert read_one.draft.type == "new_item"
    assert read_one.draft.topics == (f"sentiment/items/{read_one.id}", "sentiment/items")
    assert data_of(read_one) == {
        "item_id": read_one.id,
        "ticker": "BRK.B",
        "sentiment": "positive",
        "score": read_one.score,
        "timestamp": "2023-11-14T22:13:20.123Z",
    }
    assert len({one.id for one in read(*[item()] * 5)}) == 5


@pytest.mark.parametrize(
    ("fields", "sentiment", "score"),
    [
        ({"text": GOOD}, "positive", GOOD_SCORE),
        ({"text": BAD}, "negative", BAD_SCORE),
        ({"text": "It is a company."}, "neutral", 0.0),
        ({"text": GOOD, "score": -0.05}, "negative", -0.05),
        ({"text": BAD, "score": 0.05}, "positive", 0.05),
        ({"text": BAD, "score": 0.0499}, "neutral", 0.0499),
        ({"score": 1}, "positive", 1.0),
        ({"score": -1}, "negative", -1.0),
        # A given sentiment is kept, and the computed score limited to its range.
        ({"text": GOOD, "sentiment": "positive"}, "positive", GOOD_SCORE),
        ({"text": GOOD, "sentiment": "negative"}, "negative", -0.05),
        ({"text": GOOD, "sentiment": "neutral"}, "neutral", 0.0499),
        ({"text": BAD, "sentiment": "neutral"}, "neutral", -0.0499),
        ({"text": BAD, "sentiment": "positive"}, "positive", 0.05),
        # A given score is kept.
        ({"text": BAD, "sentiment": "positive", "score": 0.05}, "positive", 0.05),
        ({"text": BAD, "sentiment": "neutral", "score": 0.04999}, "neutral", 0.04999),
        ({"text": GOOD, "sentiment": "negative", "score": -0.05}, "negative", -0.05),
        ({"sentiment": "neutral", "score": -0.0}, "neutral", 0.0),
        ({"text": BAD, "sentiment": None, "score": None}, "negative", BAD_SCORE),
        # Any letter case is accepted, and the published one is lower case.
        ({"sentiment": "Positive", "score": 0.9}, "positive", 0.9),
        ({"sentiment": "NEGATIVE", "score": -0.9}, "negative", -0.9),
        ({"sentiment": "nEutrAl"}, "neutral", 0.0),
        # Typographic text is judged as the plain one.
        ({"text": "I don’t like it"}, "negative", -0.2755),
        ({"text": "That isn&#39;t good"}, "negative", -0.3412),
    ],
)
def test_given_values_are_kept_and_missing_ones_are_computed(
    fields: dict[str, Any], sentiment: str, score: float
) -> None:
    [read_one] = read(item(**fields))
    assert (read_one.sentiment, read_one.score) == (sentiment, score)
    assert data_of(read_one)["sentiment"] == sentiment
    assert data_of(read_one)["score"] == score


@pytest.mark.parametrize(
    ("timestamp", "ms"),
    [
        ("2023-11-14T22:13:20.123999Z", NOW_MS),  # truncated to the millisecond
        ("2023-11-14T23:13:20.123+01:00", NOW_MS),
        ("2023-11-13T22:13:20Z", NOW_MS - 123 - 86_400_000),
        ("2001-01-01T00:00:00Z", 978_307_200_000),  # the upper bound
        ("2023-11-14T22:14:20.123Z", NOW_MS + 60_000),
    ],
)
def test_timestamps_in_any_zone(timestamp: str, ms: int) -> None:
    [read_one] = read(item(timestamp=timestamp))
    assert read_one.timestamp_ms == ms
    told = data_of(read_one)["timestamp"]
    assert told.endswith("Z")
    assert datetime.fromisoformat(told) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


@pytest.mark.parametrize(
    ("sentiment", "score"),
    [
        ("positive", -0.9),
        ("Positive", 0.04999),
        ("positive", 0),
        ("neutral", 0.05),
        ("NEUTRAL", -0.05),
        ("neutral", -1),
        ("negative", -0.04999),
        ("negative", 1),
    ],
)
def test_a_sentiment_that_contradicts_the_score_is_refused(sentiment: str, score: float) -> None:
    with pytest.raises(InvalidField) as refused:
        read(item(), item(sentiment=sentiment, score=score))
    assert refused.value.field == "items[1].sentiment"
    assert "items[1].sentiment" in refused.value.detail
    assert "items[1].score" in refused.value.detail


@given(
    st.sampled_from([GOOD, BAD, "It is a company."]),
    st.none() | st.sampled_from(["positive", "Neutral", "NEGATIVE"]),
    st.none() | st.floats(-1, 1) | st.sampled_from([0.05, 0.049_999, -0.05, -0.049_999]),
)
def test_the_sentiment_of_every_item_is_that_of_its_score(
    text: str, sentiment: str | None, score: float | None
) -> None:
    try:
        [read_one] = read(item(text=text, sentiment=sentiment, score=score))
    except InvalidField:
        assert sentiment is not None
        assert score is not None
        assert sentiment_of(score) != sentiment.lower()
        return
    assert read_one.sentiment == sentiment_of(read_one.score)
    assert sentiment is None or read_one.sentiment == sentiment.lower()
    assert score is None or read_one.score == score


@pytest.mark.parametrize(
    "text", ["two\nlines\tand\r\na tab", "می\u200cخواهم", "co\u00adop", "a\u3000b", "👩\u200d💻"]
)
def test_a_text_may_have_lines_joiners_and_wide_spaces(text: str) -> None:
    [read_one] = read(item(text=text, item_id=text[-2:]))
    assert read_one.id == text[-2:]


LATE = (NOW + timedelta(milliseconds=60_001)).isoformat()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"text": "no ticker"}, "items[1].ticker"),
        ({"ticker": "A"}, "items[1].text"),
        *[
            (item(ticker=ticker), "items[1].ticker")
            for ticker in ("", " ", "A B", "Ä", "ß", "A" * 17, "<b>", "$A", 7)
        ],
        *[(item(text=text), "items[1].text") for text in ("", " \n", None, 3, "a\0", "\x1b[1m", "a\x92s")],
        (item(text="x" * 51), "items[1].text"),
        *[
            (item(item_id=id), "items[1].item_id")
            for id in ("", "a\nb", "x" * 9, 5, "a\u202eb", "\u2066a", "a\u2028", "a\x85")
        ],
        *[(item(sentiment=named), "items[1].sentiment") for named in ("good", "Positivе", "", 1, True)],
        *[(item(score=score), "items[1].score") for score in (1.0001, -2, 1e308, "0.5", True)],
        *[(item(score=float(no_number)), "items[1].score") for no_number in ("nan", "inf", "-inf")],
        *[
            (item(timestamp=timestamp), "items[1].timestamp")
            for timestamp in ("yesterday", "2023-11-14", "2023-11-14T22:13:20", 1_700_000_000, LATE)
        ],
        (item(timestamp="1969-12-31T23:59:59Z"), "items[1].timestamp"),
        (item(timestamp="0001-01-01T00:00:00+23:59"), "items[1].timestamp"),
        (item(timestamp="9999-12-31T23:59:59-23:59"), "items[1].timestamp"),
        (item(scores=1), "items[1].scores"),
        ("AAPL", "items[1]"),
    ],
)
def test_an_invalid_value_is_named(wrong: Any, field: str) -> None:
    with pytest.raises(StreamdError) as refused:
        read(item(), wrong, item())
    assert refused.value.field == field
    assert refused.value.status == (413 if wrong == item(text="x" * 51) else 400)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"items": 3}', b'{"items": []}', b"{", b"\xff", b"NaN"]
)
def test_a_body_without_items_is_refused(body: bytes) -> None:
    with pytest.raises(StreamdError) as refused:
        run_at_once(read_items(body, NOW_MS, SETTINGS, EventSettings(), score_in_steps))
    assert refused.value.status == 400


def test_too_many_items_and_too_large_events_are_refused() -> None:
    with pytest.raises(TooLarge) as refused:
        read(*[item()] * 6)
    assert refused.value.field == "items"
    with pytest.raises(TooLarge) as refused:
        read(item(), limits=EventSettings(max_event_bytes=100))
    assert refused.value.field == "items[0]"


def test_the_texts_to_be_scored_are_bounded_in_total() -> None:
    settings = SentimentSettings(max_items_per_request=200)
    text = "a " * 4999
    within, beyond = SCORED_COST_MAX // len(text), SCORED_COST_MAX // len(text) + 1
    scored: list[str] = []

    def score(text: str) -> Steps[float]:
        scored.append(text)
        yield
        return 0.0

    def read_all(*items: Any) -> list[Item]:
        body = json.dumps({"items": items}).encode()
        return run_at_once(read_items(body, NOW_MS, settings, EventSettings(), score))

    assert len(read_all(*[item(text=text)] * within)) == within
    # Texts with a score cost nothing.
    assert len(read_all(*[item(text=text)] * within, *[item(text=text, score=0)] * 10)) == within + 10
    scored.clear()
    for texts in ([text] * beyond, ["\N{FACE WITH TEARS OF JOY}" * 1000] * (SCORED_COST_MAX // 10_000 + 1)):
        with pytest.raises(TooLarge, match="in total") as refused:
            read_all(*(item(text=text) for text in texts))
        assert refused.value.field == "items"
    assert not scored


def test_no_step_of_reading_items_scores_more_than_a_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["good " * 1999, "\N{FACE WITH TEARS OF JOY}" * 9999, "a " * 4999]
    body = json.dumps({"items": [item(text=text) for text in texts]}).encode()
    lengths: list[int] = []

    class Analyzer:
        def polarity_scores(self, text: str) -> dict[str, float]:
            lengths.append(vader.scoring_cost(text))
            return {"compound": 0.0}

    monkeypatch.setattr(vader, "_analyzer", Analyzer())
    settings = SentimentSettings()
    steps = read_items(body, NOW_MS, settings, EventSettings(), score_in_steps)
    done = 0
    for _ in steps:
        assert sum(lengths[done:]) <= vader.PASSAGE_COST
        done = len(lengths)
    assert done >= sum(vader.scoring_cost(text) for text in texts) // vader.PASSAGE_COST


def test_a_refused_request_scores_no_text() -> None:
    scored: list[str] = []

    def score(text: str) -> Steps[float]:
        scored.append(text)
        yield
        return 0.0

    body = json.dumps({"items": [item(), item(ticker="?")]}).encode()
    with pytest.raises(StreamdError):
        run_at_once(read_items(body, NOW_MS, SETTINGS, EventSettings(), score))
    assert scored == []


@given(st.floats(-1, 1))
def test_sentiment_thresholds(score: float) -> None:
    expected = "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral"
    assert sentiment_of(score) == expected


@given(st.text(max_size=vader.PASSAGE_COST // 10).filter(lambda text: len(normalize_text(text)) <= 50))
def test_a_short_text_gets_vaders_own_score(text: str) -> None:
    expected = SentimentIntensityAnalyzer().polarity_scores(normalize_text(text))["compound"]
    assert score_text(text) == expected


LONG_TEXTS = st.builds(
    lambda part, times, rest: part * times + rest,
    st.text(st.sampled_from("abc 😀\n\u0130"), min_size=1, max_size=40),
    st.integers(1, 200),
    st.text(max_size=40),
)


@given(LONG_TEXTS)
def test_passages_cover_the_text_and_are_bounded(text: str) -> None:
    passages = list(vader._passages(text))
    assert "".join(passages) == text
    assert all(0 < vader._cost(passage) <= vader.PASSAGE_COST for passage in passages)
    for one, following in pairwise(passages):
        assert one[-1].isspace() or not any(letter.isspace() for letter in one)
        assert vader._cost(one + following) > vader.PASSAGE_COST


def test_a_long_text_gets_the_average_of_its_passages() -> None:
    good, bad = (GOOD + " ") * 60, (BAD + " ") * 60
    assert score_text(good) > 0.9
    assert score_text(bad) < -0.9
    assert abs(score_text(good + bad)) < 0.2
    assert -1 <= score_text("😀" * 10_000) <= 1  # as one passage VADER would take half a minute
    assert score_text(" " * 10_000) == 0


def test_settings_may_have_their_smallest_values() -> None:
    tight = attrs.evolve(SETTINGS, max_ahead_seconds=0)
    read(item(timestamp=NOW.isoformat()), settings=tight)
    with pytest.raises(StreamdError) as refused:
        read(item(timestamp=(NOW + timedelta(milliseconds=1)).isoformat()), settings=tight)
    assert refused.value.field == "items[0].timestamp"
    assert "2023-11-14T22:13:20.123Z" in refused.value.detail
