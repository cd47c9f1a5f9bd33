"""Share of voice, and sentiment by source and by day."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import trio

from streamd.services.brand_monitor.models import Mention
from streamd.services.brand_monitor.names import Matcher
from streamd.services.brand_monitor.tone import Tone
from streamd.services.brand_monitor.voice import Voice
from streamd.text import score_text, vader


def test_mentions_and_occurrences_are_counted() -> None:
    names = ["Acme", "Globex", "Initech"]
    matcher, voice = Matcher(names), Voice(names)
    for text in ["Acme, acme, ACME!", "Acme or Globex?", "the weather"]:
        voice.add(matcher.find(text))
    assert (voice.total, voice.nobody) == (3, 1)
    assert voice.table() == [
        {"name": "Acme", "mentions": 2, "occurrences": 4, "share": 66.7},
        {"name": "Globex", "mentions": 1, "occurrences": 1, "share": 33.3},
        {"name": "Initech", "mentions": 0, "occurrences": 0, "share": 0.0},
    ]


def test_shares_are_null_without_names() -> None:
    voice = Voice(["Acme"])
    voice.add(Matcher(["Acme"]).find("the weather"))
    assert voice.table()[0]["share"] is None


# --- sentiment --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["I don't like Acme", "I don’t like Acme", "I don&#39;t like Acme", "I don&amp;rsquo;t like Acme"]
)
def test_typographic_and_escaped_negations_are_negative(text: str) -> None:
    tone = Tone()
    tone.add(Mention(text, "blog", datetime(2026, 3, 1, tzinfo=UTC)), score_text(text))
    overall = tone.tables()["overall"]
    assert (overall["negative"], overall["averageScore"]) == (1, -0.2755)


def test_sources_are_sorted_by_mentions_and_scores_use_vaders_thresholds() -> None:
    tone = Tone()
    at = datetime(2026, 3, 1, tzinfo=UTC)
    scores = {"web": (0.05, 0.0499), "blog": (-0.05, -0.9), "app": (-0.0499,)}
    for source, of_source in scores.items():
        for score in of_source:
            tone.add(Mention("", source, at), score)
    tables = tone.tables()
    assert tables["overall"] == {
        "mentions": 5, "positive": 1, "neutral": 2, "negative": 2, "averageScore": -0.18
    }  # fmt: skip
    assert [row["source"] for row in tables["bySource"]] == ["blog", "web", "app"]
    assert tables["bySource"][0] == {
        "source": "blog", "mentions": 2, "positive": 0, "neutral": 0, "negative": 2, "averageScore": -0.475
    }  # fmt: skip


def test_days_are_in_utc_and_sorted() -> None:
    tone = Tone()
    east, west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
    tone.add(Mention("", "x", datetime(2026, 3, 1, 23, 59, 59, 999_999, UTC)), 1.0)
    tone.add(Mention("", "x", datetime(2026, 3, 2, 13, 59, tzinfo=east)), 1.0)  # 23:59 the day before
    tone.add(Mention("", "x", datetime(2026, 2, 28, 12, 0, tzinfo=west)), 1.0)  # midnight the day after
    tone.add(Mention("", "x", datetime(2026, 3, 2, tzinfo=UTC)), -1.0)
    assert [(row["day"], row["mentions"], row["averageScore"]) for row in tone.tables()["byDay"]] == [
        ("2026-03-01", 3, 1.0),
        ("2026-03-02", 1, -1.0),
    ]


def test_the_average_of_no_mentions_is_null() -> None:
    tables = Tone().tables()
    assert tables["overall"]["averageScore"] is None
    assert tables["bySource"] == tables["byDay"] == []


async def test_vader_is_loaded_once_and_separates_good_from_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vader, "_analyzer", None)  # as in a new process
    loaded = []

    async def load() -> None:
        loaded.append(await trio.to_thread.run_sync(vader._load))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(load)
            nursery.start_soon(vader.load_vader)
    assert len(loaded) == 5
    assert all(analyzer is vader._analyzer for analyzer in loaded)
    assert vader.score("I love it, great work!") > 0.5
    assert vader.score("I hate it, terrible work!") < -0.5
    assert vader.score("It is a table.") == 0.0
