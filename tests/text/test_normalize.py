"""Normalization of text before it is judged."""

import html
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

from streamd.text import normalize_text, score_text, sentiment_of

QUADRATIC_SECONDS = 5.0  # linear normalization takes milliseconds
APOSTROPHES = "'`´‘’‛ʹʻʼʽ′＇｀"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u2060\ufeff\ufe0f\u202e\u2066"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain 'text', AT&T & R&D; 50 % & more", "plain 'text', AT&T & R&D; 50 % & more"),
        *[(f"don{apostrophe}t", "don't") for apostrophe in APOSTROPHES],
        *[
            (f"don{entity}t", "don't")
            for entity in (
                "&#39;",
                "&#039;",
                "&#39",
                "&#x27;",
                "&#X27;",
                "&apos;",
                "&rsquo;",
                "&#8217;",
                "&#146;",  # of Windows-1252, as browsers read it
                "&amp;#39;",
                "&amp;rsquo;",
                "&amp;amp;#39;",
                "&#38;#39;",
            )
        ],
        ("“good”, „good‟ «good» &quot;good&ldquo;", '"good", "good" "good" "good"'),
        ("good—bad, a well‑known 10–20", "good - bad, a well-known 10-20"),
        ("great…", "great..."),
        ("ｇｒｅａｔ！　ﬁne 𝗴𝗿𝗲𝗮𝘁", "great! fine great"),
        ("great™ Acme&trade; Acme®", "great  Acme  Acme "),
        ("a&nbsp;b\u00a0c\u3000d", "a b c d"),
        (f"go{INVISIBLE}od", "good"),
        ("❤️ 👩\u200d💻", "❤ 👩💻"),
        ("cafe\u0301", "café"),
        ("I &lt;3 it", "I <3 it"),
        ("می\u200cخواهم", "میخواهم"),
    ],
)
def test_text_becomes_plain(text: str, expected: str) -> None:
    assert normalize_text(text) == expected


@pytest.mark.parametrize(
    "plain",
    [
        "I don't like it",
        "That isn't good",
        "It wasn't great, and I can't recommend it",
        "DON'T BUY IT, IT ISN'T GOOD",
    ],
)
@pytest.mark.parametrize("apostrophe", [*APOSTROPHES, "&#39;", "&rsquo;", "&amp;#39;", "\u200b’"])
def test_a_typographic_text_has_the_score_of_the_plain_one(plain: str, apostrophe: str) -> None:
    expected = SentimentIntensityAnalyzer().polarity_scores(plain)["compound"]
    assert sentiment_of(expected) == "negative"
    assert score_text(plain.replace("'", apostrophe)) == expected


PLAIN = st.text(alphabet=st.characters(exclude_characters="&＆﹠"))


@given(PLAIN, st.integers(1, 3))
def test_escaping_is_undone(text: str, times: int) -> None:
    escaped = text
    for _ in range(times):
        escaped = html.escape(escaped)
    assert normalize_text(escaped) == normalize_text(text)


@given(PLAIN)
def test_normalized_text_stays_as_it_is(text: str) -> None:
    normalized = normalize_text(text)
    assert normalize_text(normalized) == normalized
    assert unicodedata.is_normalized("NFKC", normalized)
    assert not set(normalized) & set(INVISIBLE)


@given(st.text(max_size=2000))
@example("&#" + "9" * 10_000 + ";")  # html.unescape raises ValueError
@example("&#xd800; &#0; &#x110000; &#1; \ud800")
def test_any_text_is_normalized(text: str) -> None:
    assert isinstance(normalize_text(text), str)


@pytest.mark.parametrize(
    "part", ["\u0301\u0323", "\ufdfa", "&", "&a", "&#", "&#3", "&amp;", "&amp;amp;", "\u200b", "’", " ", "Ａ"]
)
def test_normalization_is_linear(part: str) -> None:
    began = time.process_time()
    normalize_text(part * (1_000_000 // len(part)))
    assert time.process_time() - began < QUADRATIC_SECONDS
