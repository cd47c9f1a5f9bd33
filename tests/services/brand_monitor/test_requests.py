"""Parsing and validation of a request; each invalid value is named."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from streamd.errors import InvalidBody, InvalidField, RequestError
from streamd.services.brand_monitor.models import Analysis, Mention
from streamd.services.brand_monitor.requests import parse_analysis
from streamd.services.brand_monitor.settings import BrandMonitorSettings
from streamd.steps import run_at_once

SETTINGS = BrandMonitorSettings(max_mentions=3, max_competitors=2, max_name_chars=10, max_text_chars=20)
MENTION = {"text": "Acme is great", "source": "blog", "time": "2026-03-01T09:30:00Z"}


def body(**changes: Any) -> bytes:
    whole = {"brand": "Acme", "competitors": ["Globex"], "mentions": [MENTION]} | changes
    return msgspec.json.encode({name: value for name, value in whole.items() if value is not None})


def with_mention(**changes: Any) -> bytes:
    """Build a body with a changed third mention."""
    changed = {name: value for name, value in (MENTION | changes).items() if value is not None}
    return body(mentions=[MENTION, MENTION, changed])


def parse(raw: bytes, settings: BrandMonitorSettings) -> tuple[str | None, Analysis]:
    task_id, analysis = run_at_once(parse_analysis(raw, settings))
    return task_id, msgspec.json.decode(analysis, type=Analysis)


def test_a_valid_request_is_parsed_with_times_in_utc() -> None:
    task_id, analysis = parse(
        body(brand="  Acme ", mentions=[MENTION | {"time": "2026-03-01t23:30:00.5-02:00"}], taskId="mine"),
        SETTINGS,
    )
    assert (analysis.brand, analysis.competitors, task_id) == ("Acme", ["Globex"], "mine")
    assert analysis.mentions == [
        Mention("Acme is great", "blog", datetime(2026, 3, 2, 1, 30, 0, 500_000, tzinfo=UTC))
    ]


def test_texts_may_have_lines_and_names_any_script() -> None:
    text, persian = "one\ntwo\tthree\u202a", "می\u200cخواهم"
    raw = body(
        brand=persian, competitors=["a\u3000b"], mentions=[MENTION | {"text": text, "source": persian}]
    )
    _, analysis = parse(raw, SETTINGS)
    assert (analysis.brand, analysis.competitors) == (persian, ["a\u3000b"])
    assert (analysis.mentions[0].text, analysis.mentions[0].source) == (text, persian)


def test_competitors_are_optional_and_mentions_may_be_empty() -> None:
    task_id, analysis = parse(body(competitors=None, mentions=[]), SETTINGS)
    assert (analysis.competitors, analysis.mentions, task_id) == ([], [], None)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),  # a leap second
        (
            "2026-03-01 09:30:00Z",
            datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        ),  # RFC 3339 section 5.6 allows a space
        ("2026-03-01T09:30:00.123456789+05:30", datetime(2026, 3, 1, 4, 0, 0, 123_457, tzinfo=UTC)),
    ],
)
def test_rfc_3339_times_are_accepted(time: str, expected: datetime) -> None:
    _, analysis = parse(with_mention(time=time), SETTINGS)
    assert analysis.mentions[2].time == expected


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (body(brand=None), "brand"),
        (body(brand=""), "brand"),
        (body(brand=" \t"), "brand"),
        (body(brand="x" * 11), "brand"),
        (body(brand="a\nb"), "brand"),
        (body(brand="a\u202eb"), "brand"),
        (body(competitors=["a\u2066b"]), "competitors[0]"),
        (with_mention(source="a\x1bb"), "mentions[2].source"),
        (with_mention(text="a\0b"), "mentions[2].text"),
        (with_mention(text="a\x92s"), "mentions[2].text"),
        (body(brand="&!"), "brand"),
        (body(brand=7), "brand"),
        (body(competitors=["Globex", ""]), "competitors[1]"),
        (body(competitors=["x" * 11]), "competitors[0]"),
        (body(competitors=["ACMÉ"]), "competitors[0]"),
        (body(competitors=["Globex", "glob-ex", "x"]), "competitors"),
        (body(competitors=["Glob-ex", "glob ex"]), "competitors[1]"),
        (body(competitors="Globex"), "competitors"),
        (body(competitors=["Globex", 1]), "competitors[1]"),
        (body(mentions=None), "mentions"),
        (body(mentions=[MENTION] * 4), "mentions"),
        (body(mentions={}), "mentions"),
        (with_mention(text=None), "mentions[2].text"),
        (with_mention(text=" \n"), "mentions[2].text"),
        (with_mention(text="x" * 21), "mentions[2].text"),
        (with_mention(text=5), "mentions[2].text"),
        (with_mention(source=None), "mentions[2].source"),
        (with_mention(source=" "), "mentions[2].source"),
        (with_mention(source="x" * 11), "mentions[2].source"),
        (with_mention(source="a\0b"), "mentions[2].source"),
        (with_mention(time=None), "mentions[2].time"),
        (with_mention(time=1_700_000_000), "mentions[2].time"),
        (with_mention(extra=1), "mentions[2].extra"),
        (body(surprise=1), "surprise"),
        (body(taskId=7), "taskId"),
        (b"[]", None),
        (b"{", None),
        (b"", None),
        (b'{"brand": "\xff"}', "brand"),
        (b'{"brand": "a", "brand": "b"}', "brand"),
        (b'{"mentions": [{"text": NaN}]}', "mentions[0].text"),
    ],
)
def test_an_invalid_value_is_named(raw: bytes, field: str | None) -> None:
    with pytest.raises((InvalidField, InvalidBody)) as refused:
        parse(raw, SETTINGS)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "time",
    [
        "",
        "yesterday",
        "2026-03-01",
        "2026-03-01T09:30:00",  # no zone
        "2026-03-01T09:30Z",
        "2026-02-29T00:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T09:30:61Z",
        "2026-03-01T09:30:00+24:00",
        "1772357400",
        "0001-01-01T00:00:00+01:00",  # before year 1 in UTC
        "9999-12-31T23:59:59-01:00",
        "２０２６-03-01T09:30:00Z",
    ],
)
def test_an_invalid_time_is_named_with_an_example(time: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(with_mention(time=time), SETTINGS)
    assert refused.value.field == "mentions[2].time"
    assert "RFC 3339" in refused.value.detail
