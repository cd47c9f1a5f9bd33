"""The most frequent words and phrases."""

import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.brand_monitor.names import Matcher
from streamd.services.brand_monitor.terms import STOP_WORDS, Terms, words_of
from streamd.text import normalize_text

QUADRATIC_SECONDS = 5.0  # linear matching takes milliseconds; quadratic matching took 24 s


def words(text: str, *names: str) -> list[str]:
    spans = Matcher(names).find(text).spans if names else ()
    return [word for word, _ in words_of(normalize_text(text), spans)]


def tables(*texts: str, most: int = 10) -> dict[str, Any]:
    terms = Terms()
    for text in texts:
        terms.add(words_of(normalize_text(text)))
    return terms.tables(most)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The battery and the screen", ["battery", "screen"]),
        ("Don’t you think it's slow?", ["think", "slow"]),
        ("Don&#39;t you think it&rsquo;s slow?", ["think", "slow"]),
        ("It isn&amp;#39;t &quot;cheap&quot;&nbsp;&hellip;", ["cheap"]),
        ("bat\u00adtery&shy;life, ｓｃｒｅｅｎ—glass", ["batterylife", "screen", "glass"]),
        ("the phone's BATTERY", ["phone", "battery"]),
        ("a state-of-the-art e-reader", ["state-of-the-art", "e-reader"]),
        ("b2b 2024 3.5 x", ["b2b"]),
        ("see https://shop.example/cheap?x=1 or www.cheap.example now", []),
        ("mail ann.smith@mail.example today", ["mail", "today"]),
        ("@ann likes #sushi", ["ann", "likes", "sushi"]),
        ("Große Überraschung im café", ["große", "überraschung", "café"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # marks are parts of words
        ("snake_case", ["snake", "case"]),
        (f"{'x' * 41} short", ["short"]),
        ("", []),
    ],
)
def test_words_of_skips_stop_words_links_and_numbers(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_skipped_names_separate_pairs() -> None:
    text = "Nestlé's cheap Apple Music beats apple.com radio"
    assert words(text, "Nestle", "Apple", "Apple Music") == ["cheap", "beats", "radio"]
    pairs = [
        (word, follows)
        for word, follows in words_of(normalize_text(text), Matcher(["Apple Music"]).find(text).spans)
    ]
    assert ("beats", False) in pairs


def test_pairs_are_separated_by_space_only() -> None:
    text = "customer service. customer  service, service customer: the customer of service"
    assert tables(text)["phrases"] == [{"term": "customer service", "count": 2}]


def test_terms_are_sorted_by_count_then_alphabetically() -> None:
    table = tables("zebra apple zebra", "mango apple", "zebra émile", most=3)["words"]
    assert table == [
        {"term": "zebra", "count": 3},
        {"term": "apple", "count": 2},
        {"term": "émile", "count": 1},  # sorted as emile, before mango
    ]


def test_spellings_of_one_word_are_merged_under_the_most_frequent() -> None:
    table = tables("café CAFÉ cafe\u0301", "cafe", "bar")["words"]
    assert table == [{"term": "café", "count": 4}, {"term": "bar", "count": 1}]


@given(
    st.lists(st.lists(st.sampled_from(["sun", "moon", "the", "star", "of", "sky"]), max_size=8), max_size=8)
)
def test_counts_equal_a_plain_count(texts: list[list[str]]) -> None:
    expected = Counter(word for text in texts for word in text if word not in STOP_WORDS)
    table = tables(*(" ".join(text) for text in texts))["words"]
    assert {row["term"]: row["count"] for row in table} == expected
    assert [(-row["count"], row["term"]) for row in table] == sorted(
        (-row["count"], row["term"]) for row in table
    )


@given(st.text())
def test_words_of_accepts_any_text(text: str) -> None:
    for word, _ in words_of(normalize_text(text)):
        assert word
        assert word not in STOP_WORDS


@pytest.mark.parametrize("part", ["@a", "a@", "a-", "a'", "http://", "www.", "a.", "&amp;", "é", "'s "])
def test_words_of_is_linear(part: str) -> None:
    began = time.process_time()
    text = part * (5_000 // len(part))
    Matcher(["a b", "at&t", "a-a"]).find(text)
    tables(text)
    assert time.process_time() - began < QUADRATIC_SECONDS
