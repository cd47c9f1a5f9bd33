"""The valid characters of text, and their errors."""

import ast
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.characters import TextKind, check_text, cut, find_invalid, quoted, replace_invalid
from streamd.errors import InvalidField
from tests.support.odd_texts import BIDI, INVALID_IDENTIFIERS, VALID_IDENTIFIERS

CHARACTERS = st.characters() | st.characters(categories=["Cc", "Cs", "Cf", "Zl", "Zp", "Co", "Cn"])


def expected(character: str, kind: TextKind) -> bool:
    """Tell by Unicode's properties if a character is valid."""
    category = unicodedata.category(character)
    if category == "Cc":
        return kind is TextKind.TEXT and character in "\t\n\r"
    if category in ("Zl", "Zp"):
        return kind is TextKind.TEXT
    overrides = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    if unicodedata.bidirectional(character) in overrides:
        return kind is not TextKind.IDENTIFIER
    return category != "Cs"


@given(CHARACTERS, st.sampled_from(TextKind))
def test_validity_follows_the_categories_of_unicode(character: str, kind: TextKind) -> None:
    assert (find_invalid(character, kind) is None) == expected(character, kind)


def test_every_character_of_the_basic_plane_follows_them() -> None:
    for kind in TextKind:
        valid = {code for code in range(0x10000) if find_invalid(chr(code), kind) is None}
        assert valid == {code for code in range(0x10000) if expected(chr(code), kind)}


@given(st.text(CHARACTERS, max_size=20), st.sampled_from(TextKind))
def test_a_text_is_valid_if_all_its_characters_are(text: str, kind: TextKind) -> None:
    found = find_invalid(text, kind)
    places = [place for place, character in enumerate(text) if not expected(character, kind)]
    assert (found.start() if found else None) == next(iter(places), None)
    replaced = replace_invalid(text, lambda _: "?", kind)
    assert find_invalid(replaced, kind) is None
    assert len(replaced) == len(text)
    pairs = enumerate(zip(text, replaced, strict=True))
    assert [place for place, (before, after) in pairs if before != after] == places


@pytest.mark.parametrize("text", VALID_IDENTIFIERS)
def test_an_identifier_may_have_any_script_joiners_and_wide_spaces(text: str) -> None:
    for kind in TextKind:
        assert check_text(text, "name", kind, max_chars=len(text)) is text


@pytest.mark.parametrize("text", ["", *INVALID_IDENTIFIERS])
def test_an_invalid_identifier_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_text(text, "items[3].name", max_chars=20)
    assert refused.value.field == "items[3].name"
    detail = refused.value.detail
    assert detail.startswith("items[3].name must be printable text of 1 to 20 characters, on one line")
    assert find_invalid(detail) is None  # it names the character, and does not repeat it
    if text:
        assert "it has the non-printable character U+" in detail


def test_the_error_names_the_first_invalid_character() -> None:
    with pytest.raises(InvalidField, match=r"character U\+202E at position 4$"):
        check_text("abc\u202ed\n", "name")


@pytest.mark.parametrize("character", BIDI)
def test_bidirectional_controls_are_valid_in_texts_that_are_not_identifiers(character: str) -> None:
    text = f"a{character}b"
    assert check_text(text, "note", TextKind.LINE) == text
    assert check_text(text, "note", TextKind.TEXT) == text


def test_a_text_may_have_tabs_and_line_breaks() -> None:
    text = "one\ttwo\r\nthree\u2028four\u2029five"
    assert check_text(text, "text", TextKind.TEXT) == text
    for kind in (TextKind.LINE, TextKind.IDENTIFIER):
        with pytest.raises(InvalidField, match="on one line"):
            check_text(text, "text", kind)


@pytest.mark.parametrize("text", ["", "abcd"])
def test_an_empty_or_long_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidField, match="of 1 to 3 characters"):
        check_text(text, "name", max_chars=3)
    assert check_text("abc", "name", max_chars=3) == "abc"
    assert check_text("abcd", "name") == "abcd"


@given(st.text(CHARACTERS, max_size=30) | st.integers() | st.floats(), st.integers(1, 20))
def test_a_quote_shows_a_literal_and_cuts_it(value: object, max_chars: int) -> None:
    quote = quoted(value, max_chars)
    assert len(quote.removesuffix("…")) <= max(max_chars * 10, 12) + 2  # an escape has up to 10 characters
    if len(value if isinstance(value, str) else repr(value)) <= max_chars:
        assert quote == repr(value) or not (isinstance(value, str) and value.isprintable())
        assert not isinstance(value, str) or (ast.literal_eval(quote) == value and not find_invalid(quote))
    else:
        assert quote.endswith("…")


@pytest.mark.parametrize("text", ["👩\u200d💻", "می\u200cخواهم", "a\u00adb", "日本\u3000語", "it's \u200d\\"])
def test_a_quote_has_joiners_as_they_are(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text
    assert quoted(text).isascii() is False
    assert [character for character in text if character not in quoted(text)] == []


def test_a_quote_escapes_what_no_name_may_have() -> None:
    assert quoted("a\u200d\n\x1b\u202e\ud800\u2028'\"") == "'a\u200d\\n\\x1b\\u202e\\ud800\\u2028\\'\"'"


def test_two_hundred_characters_are_quoted() -> None:
    assert quoted("x" * 200) == repr("x" * 200)
    assert quoted("x" * 201) == repr("x" * 200) + "…"
    assert quoted(10**300) == "1" + "0" * 199 + "…"
    assert (cut("x" * 200), cut("x" * 201)) == ("x" * 200, "x" * 200 + "…")
