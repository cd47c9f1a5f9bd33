"""Matching of names in texts: whole words, the longest name, any case, accents and encoding."""

import itertools
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.brand_monitor.folding import fold, fold_text
from streamd.services.brand_monitor.names import Matcher, key_of
from streamd.text import normalize_text


def named(text: str, *names: str) -> dict[str, int]:
    """Count the matches of each name."""
    return {names[place]: count for place, count in Matcher(names).find(text).counts.items()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Apple", "I bought an apple."),
        ("Apple", "Apple's new phone"),
        ("Apple", "APPLE’S"),
        ("Apple", "#apple @Apple (apple) _apple_ apple.com"),
        ("Apple", "Ａｐｐｌｅ"),  # full width
        ("Apple", "Ap\u200bple and Ap\u00adple"),  # a space of no width, a soft hyphen
        ("Apple", "Apple™"),
        ("AT&T", "at&t AT & T AT&amp;T"),
        ("AT&amp;T", "AT&T"),
        ("Acme", "Acme&trade; Acme&reg;'s"),
        ("McDonald's", "McDonald&#39;s McDonald&rsquo;s McDonald&amp;#x27;s"),
        ("Apple", "Samsung—Apple"),
        ("H&M", "H&M's shop"),
        ("Johnson & Johnson", "johnson&johnson"),
        ("B&", "by b& and others"),
        ("Coca-Cola", "coca cola Coca\u2011Cola COCA-COLA"),
        ("Apple Music", "Apple\n  music apple-music"),
        ("McDonald's", "McDonald’s mcdonald`s"),
        ("Nestlé", "NESTLE nestle\u0301 Nestlé"),
        ("Nestle", "Nestlé"),
        ("Mærsk", "Maersk MÆRSK"),
        ("Strauß", "STRAUSS strauß"),
        ("Škoda", "skoda"),
        ("Ørsted", "orsted"),
        ("Yahoo!", "yahoo! Yahoo!"),
        ("C++", "c++, C++"),
        ("[x] (y)", "[X] (Y)"),  # metacharacters of regular expressions
        ("Яндекс", "ЯНДЕКС"),
        ("ソニー", "ソニーの"),  # no spaces between words
        ("Sony", "Sonyの"),
        ("苹果", "我喜欢苹果手机"),
        ("애플", "애플은"),  # a particle appended to the name
        ("सोनी", "सोनी।"),
    ],
)
def test_a_name_is_found(name: str, text: str) -> None:
    assert named(text, name).get(name, 0) >= 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Apple", "Pineapple apples snapple apple2 2apple"),
        ("Apple", "éapple appleé"),
        ("AT&T", "at t, attt, AT and T"),
        ("Yahoo!", "Yahoo"),
        ("7Up", "17up"),
        ("애플", "파인애플"),  # pineapple again
        ("सोनी", "सोनीय"),
        ("सोन", "सोनी"),  # a vowel sign belongs to its letter
        ("カメラ", "ガメラ"),  # a voiced letter is another letter
        ("Coca-Cola", "Coca Colada, coca, cola"),
    ],
)
def test_another_word_is_not_the_name(name: str, text: str) -> None:
    assert named(text, name) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Apple Music is not Apple", {"Apple": 1, "Apple Music": 1}),
        ("Apple Musical", {"Apple": 1}),  # the longer name does not match, the shorter one does
        ("apple-music, apple\tmusic's", {"Apple Music": 2}),
        ("Apple Music TV", {"Apple Music TV": 1}),
        ("Music TV", {}),
        ("Apple Apple Apple", {"Apple": 3}),
    ],
)
def test_the_longest_name_at_a_position_wins(text: str, expected: dict[str, int]) -> None:
    for names in itertools.permutations(["Apple", "Apple Music", "Apple Music TV"]):
        assert named(text, *names) == expected


def test_overlapping_names_match_from_left_to_right() -> None:
    assert named("New York Times", "York Times", "New York") == {"New York": 1}


@pytest.mark.parametrize(
    "text", ["we love Nestlé’s Ｃhocolate, nestle\u0301!", "straße: Straße", "a ﬁne Nestlé"]
)
def test_spans_cover_the_name_in_the_normalized_text(text: str) -> None:
    found = Matcher(["Nestle", "Strasse", "Chocolate"]).find(text)
    normalized = normalize_text(text)
    assert found.spans
    for start, end in found.spans:
        assert fold_text(normalized[start:end]) in {"nestle", "strasse", "chocolate"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("Coca-Cola", "coca  cola"), ("H & M", "h&m"), ("Nestlé", "NESTLE"), ("-Acme ", "acme")],
)
def test_equivalent_spellings_share_a_key(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize("name", ["", " ", "&", "!!!", "\u200b", "- -"])
def test_text_without_a_letter_has_no_key(name: str) -> None:
    assert key_of(name) == ""


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a -& -& b"], "a -&" + " " * 4990),  # once cubic in the spaces
        (["a -& b"], "a" + " " * 4990),  # once quadratic
        (
            ["a&" * 45 + f"{number}" for number in range(50)],
            "a&" * 2500,
        ),  # once tried all names at each position
        (["a " * 45 + f"{number}" for number in range(50)], "a " * 2500),
    ],
)
def test_matching_is_linear_on_adversarial_input(names: list[str], text: str) -> None:
    matcher = Matcher(names)
    began = time.thread_time()
    for _ in range(10):
        assert matcher.find(text).spans == ()
    assert time.thread_time() - began < 1.0


def test_names_with_a_common_prefix_are_distinguished() -> None:
    names = ["a", "a b", "a&b", "ab", "abc", "a b c", "a&b&c", "&a", "b", "a-x"]
    text = " | ".join(names)
    assert named(text, *names) == dict.fromkeys(names, 1)
    assert named("a & b & d, a  b d, abcd, a\n-b-c", *names) == {"a&b": 1, "a b": 1, "a b c": 1}


# Names and their surroundings, made of letters that must not join.
words = st.text(st.sampled_from("abcéßØд&-' !."), min_size=1, max_size=8).filter(
    lambda word: bool(key_of(word))
)


@given(
    words, st.sampled_from(["", " ", "(", "«", '"', "#"]), st.sampled_from(["", " ", ")", ", x", "'s", "?"])
)
def test_any_name_is_found_between_non_letters(name: str, before: str, after: str) -> None:
    assert named(f"{before}{name.strip(' -')}{after}", name)[name] >= 1


@given(st.lists(words, min_size=1, max_size=5, unique_by=key_of), st.text(max_size=60))
def test_spans_are_ordered_disjoint_and_counted(names: list[str], text: str) -> None:
    text = f"{text} {' x '.join(names)} {text}"
    found = Matcher(names).find(text)
    assert sum(found.counts.values()) == len(found.spans)
    ends = [0, *(place for span in found.spans for place in span), len(normalize_text(text))]
    assert ends == sorted(ends)


@given(st.text())
def test_folding_accepts_any_text_and_is_idempotent(text: str) -> None:
    folded = fold(normalize_text(text))
    assert folded.offsets is None or len(folded.offsets) == len(folded.text)
    assert fold_text(folded.text) == fold_text(fold_text(folded.text))


@given(st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=0x24F), min_size=1))
def test_latin_folding_ignores_encoding_and_case(text: str) -> None:
    assert fold_text(unicodedata.normalize("NFD", text)) == fold_text(unicodedata.normalize("NFC", text))
    assert fold_text(text.swapcase().casefold()) == fold_text(text.casefold())
