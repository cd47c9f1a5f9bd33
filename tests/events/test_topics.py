"""Topics, patterns and selectors."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.errors import InvalidField
from streamd.events import Pattern, Selectors, validate_topic
from streamd.events.topics import ALL
from tests.support.counted import count_instructions
from tests.support.odd_texts import INVALID_IDENTIFIERS, VALID_IDENTIFIERS
from tests.support.patterns import expected_match, pieces
from tests.support.strategies import identifiers

names = st.text("ab*./:", max_size=10)
topics = st.text("ab./:", min_size=1, max_size=10)


class TestTopic:
    @pytest.mark.parametrize(
        "text",
        [
            "a",
            "tasks/7f3a",
            "merchant:42:progress",
            "with space",
            "*",
            "**",
            "a*b",
            "//",
            ":",
            "é",
            "日本",
            "😀",
            "a\\b",
        ],
    )
    def test_printable_text_is_a_topic(self, text: str) -> None:
        assert validate_topic(text, 64) == text

    @pytest.mark.parametrize("text", VALID_IDENTIFIERS)
    def test_any_identifier_is_a_topic_as_it_is(self, text: str) -> None:
        assert validate_topic(text, 64) == text
        assert Selectors([text]).matches([text])
        assert Pattern(f"{text}/*").matches(f"{text}/{text}")

    @pytest.mark.parametrize("text", [*INVALID_IDENTIFIERS, "\ud800"])
    def test_other_text_is_rejected(self, text: str) -> None:
        with pytest.raises(InvalidField, match="printable") as rejected:
            validate_topic(text, 64)
        assert rejected.value.field == "topic"

    def test_topics_are_compared_by_their_code_points(self) -> None:
        composed, decomposed = "Nestl\u00e9", "Nestle\u0301"
        selectors = Selectors([composed, " a"])
        assert not selectors.matches([decomposed, "a", "a ", "\u3000a", "a\u200b"])
        assert selectors.matches([" a"])

    def test_empty_text_is_rejected(self) -> None:
        with pytest.raises(InvalidField, match="must not be empty"):
            validate_topic("", 64)

    @pytest.mark.parametrize("value", [None, 5, b"topic", ["topic"], True])
    def test_only_text_is_a_topic(self, value: object) -> None:
        with pytest.raises(InvalidField, match=f"must be text, got {type(value).__name__}"):
            validate_topic(value, 64)

    @pytest.mark.parametrize(("char", "size"), [("a", 1), ("é", 2), ("日", 3), ("😀", 4)])
    def test_the_length_is_counted_in_bytes_of_utf8(self, char: str, size: int) -> None:
        assert validate_topic(char * 10, 10 * size)
        with pytest.raises(InvalidField, match=f"longer than {10 * size - 1} bytes"):
            validate_topic(char * 10, 10 * size - 1)

    def test_the_error_names_the_field_of_the_caller(self) -> None:
        with pytest.raises(InvalidField, match=r"^idempotency_key must not be empty") as rejected:
            validate_topic("", 64, field="idempotency_key")
        assert rejected.value.field == "idempotency_key"


class TestPattern:
    @pytest.mark.parametrize(
        ("pattern", "topic", "matches"),
        [
            # a segment `*` matches one segment that is not empty
            ("merchant:acme:*", "merchant:acme:1", True),
            ("merchant:acme:*", "merchant:acme:progress", True),
            ("merchant:acme:*", "merchant:other:1", False),
            ("merchant:acme:*", "merchant:acme2:1", False),
            ("merchant:acme:*", "merchant:acme", False),
            ("merchant:acme:*", "merchant:acme:", False),
            ("merchant:acme:*", "merchant:acme:a:b", False),
            ("merchant:acme:*", "merchant:acme:a/b", False),
            ("merchant:acme:*", "xmerchant:acme:1", False),
            ("merchant:acme:*", "MERCHANT:ACME:1", False),
            ("merchant:*:*", "merchant:acme:1", True),
            ("merchant:*:*", "merchant::1", False),
            ("*:acme", "merchant:acme", True),
            ("*:acme", ":acme", False),
            ("a/*/c", "a/b/c", True),
            ("a/*/c", "a/b:c", False),
            ("a/*/c", "a//c", False),
            ("a/*", "a:b", False),
            ("*/", "a/", True),
            ("*/*", "a/b", True),
            ("a/*", "a/ ", True),
            # a last segment `**` matches the rest
            ("tasks/**", "tasks/1", True),
            ("tasks/**", "tasks/1/steps:2", True),
            ("tasks/**", "tasks//", True),
            ("tasks/**", "tasks/", False),
            ("tasks/**", "tasks", False),
            ("tasks/**", "tasks:1", False),
            ("*/**", "a/b/c", True),
            ("*/**", "/b", False),
            ("**", "anything/at:all", True),
            ("**", "/", True),
            # `*` alone matches every topic
            ("*", "a", True),
            ("*", "a/b:c", True),
            ("*", ":", True),
            # everything else matches itself
            ("ab*", "ab*", True),
            ("ab*", "abc", False),
            ("ab*/x", "abc/x", False),
            ("***", "***", True),
            ("***", "abc", False),
            ("a/b**", "a/bc", False),
            ("a.c", "a.c", True),
            ("a.c", "abc", False),
            ("a+", "aa", False),
            ("(a|b)", "a", False),
            ("(a|b)", "(a|b)", True),
            ("[ab]", "a", False),
            ("a?", "a", False),
            ("^a$", "a", False),
            ("a\\d", "a1", False),
            ("a b", "a b", True),
            ("日本/*", "日本/東京", True),
        ],
    )
    def test_patterns_match_as_in_the_table(self, pattern: str, topic: str, *, matches: bool) -> None:
        assert Pattern(pattern).matches(topic) is matches
        assert expected_match(pattern, topic) is matches

    @pytest.mark.parametrize("text", ["**/a", "a/**/b", "**:**", "**/", "a/**:"])
    def test_two_stars_are_allowed_in_the_last_segment_only(self, text: str) -> None:
        with pytest.raises(InvalidField, match=r"'\*\*' may only be the last segment") as rejected:
            Pattern(text)
        assert rejected.value.field == "pattern"

    @given(names.filter(bool), topics)
    @example("*:*", "a:")
    def test_any_pattern_matches_by_the_rule(self, pattern: str, topic: str) -> None:
        if "**" in pieces(pattern)[:-1]:
            with pytest.raises(InvalidField):
                Pattern(pattern)
        else:
            assert Pattern(pattern).matches(topic) is expected_match(pattern, topic)

    @given(identifiers.filter(lambda text: not {"*", "**"} & set(pieces(text))), identifiers)
    def test_a_pattern_without_wildcards_matches_itself_only(self, text: str, other: str) -> None:
        assert Pattern(text).matches(text)
        assert Pattern(text).matches(other) is (other == text)

    @given(identifiers)
    def test_the_pattern_of_a_merchant_never_matches_another_merchant(self, topic: str) -> None:
        pattern = Pattern("merchant:acme:*")
        assert pattern.matches("merchant:acme:" + topic) is (not set("/:") & set(topic))
        assert not pattern.matches(topic)
        assert not pattern.matches(f"merchant:{topic}:acme:1")
        assert not pattern.matches(f"merchant:acme{topic}:1")

    def test_the_work_for_a_pattern_does_not_grow_with_its_segments(self) -> None:
        assert count_instructions(lambda: Pattern("a/" * 480 + "*")) < 200
        assert count_instructions(lambda: Pattern("*/" * 480 + "**")) < 200

    def test_equal_texts_are_equal_patterns(self) -> None:
        assert Pattern("a/*") == Pattern("a/*")
        assert len({Pattern("a/*"), Pattern("a/*"), Pattern("a/**")}) == 2


def parse(topics: list[str], patterns: list[str], *, limit: int = 5) -> Selectors:
    return Selectors.parse(topics, patterns, max_selectors=limit, max_topic_bytes=8, max_pattern_bytes=6)


class TestSelectors:
    def test_topics_and_patterns_are_parsed(self) -> None:
        selectors = parse(["a", "b*", "a"], ["x/*"])
        assert selectors == Selectors({"a", "b*"}, {Pattern("x/*")})
        assert parse([], []) == Selectors()

    @pytest.mark.parametrize(
        ("topics", "patterns", "field"),
        [
            ([""], [], "topic"),
            (["a\n"], [], "topic"),
            (["123456789"], [], "topic"),
            (["éééé5"], [], "topic"),
            ([], [""], "pattern"),
            ([], ["a\0"], "pattern"),
            ([], ["1234567"], "pattern"),
            ([], ["**/a"], "pattern"),
            (["a"] * 6, [], "topic"),
            (["a"] * 3, ["b"] * 3, "topic"),
            ([], ["b"] * 6, "pattern"),
        ],
    )
    def test_the_error_names_the_field_of_an_invalid_selector(
        self, topics: list[str], patterns: list[str], field: str
    ) -> None:
        with pytest.raises(InvalidField) as rejected:
            parse(topics, patterns)
        assert rejected.value.field == field

    def test_the_limits_themselves_are_allowed(self) -> None:
        assert parse(["12345678", "éééé"], ["123456", "a/*", "b/*"])

    def test_the_error_has_the_number_of_selectors(self) -> None:
        with pytest.raises(InvalidField, match="at most 2 topics and patterns, got 3"):
            parse(["a", "b"], ["c"], limit=2)

    def test_empty_selectors_are_false(self) -> None:
        assert not Selectors()
        assert Selectors({"a"})
        assert Selectors(patterns={Pattern("*")})

    def test_an_exact_topic_is_never_parsed_as_a_pattern(self) -> None:
        selectors = Selectors({"a/*"})
        assert selectors.matches(["a/*"])
        assert not selectors.matches(["a/b"])

    def test_one_matching_topic_of_an_event_is_enough(self) -> None:
        selectors = Selectors({"a"}, {Pattern("x/*")})
        assert selectors.matches(["no", "a"])
        assert selectors.matches(["no", "x/1"])
        assert not selectors.matches(["no", "x"])
        assert not selectors.matches([])

    @given(identifiers)
    def test_all_selects_every_topic(self, topic: str) -> None:
        assert ALL.matches([topic])

    @given(st.sets(topics), st.sets(topics), st.sets(topics), st.sets(topics), topics)
    def test_union_and_without(
        self, ours: set[str], theirs: set[str], our_texts: set[str], their_texts: set[str], topic: str
    ) -> None:
        one = Selectors(ours, map(Pattern, our_texts))
        other = Selectors(theirs, map(Pattern, their_texts))
        both = one.union(other)
        assert both == other.union(one)
        assert both.matches([topic]) is (one.matches([topic]) or other.matches([topic]))
        less = both.without(other)
        assert less == one.without(other)
        assert less.topics == ours - theirs
        assert {pattern.text for pattern in less.patterns} == our_texts - their_texts
        assert one.without(one) == Selectors()
        assert one.without(Selectors()) == one

    def test_without_compares_names_and_not_matches(self) -> None:
        assert ALL.without(Selectors({"a"})).matches(["a"])
        assert Selectors({"a/1"}).without(Selectors(patterns={Pattern("a/*")})).matches(["a/1"])
