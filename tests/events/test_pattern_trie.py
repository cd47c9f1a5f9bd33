"""The trie of patterns: finds what trying all patterns finds, in a bounded number of steps."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from streamd.events import Pattern, PatternTrie, Selectors
from tests.support.counted import count_instructions
from tests.support.patterns import expected_match, pattern_texts, topic_texts


def found(trie: PatternTrie, topic: str) -> set[str]:
    return {pattern.text for pattern in trie.search(topic) if pattern is not None}


def steps(trie: PatternTrie, topic: str) -> int:
    return sum(1 for _ in trie.search(topic))


@given(st.sets(pattern_texts, max_size=60), st.lists(topic_texts, min_size=1, max_size=5))
def test_it_finds_the_patterns_that_the_slow_matcher_finds(texts: set[str], topics: list[str]) -> None:
    trie = PatternTrie(map(Pattern, texts))
    selectors = Selectors(patterns=map(Pattern, texts))
    for topic in [*topics, *texts]:
        expected = {text for text in texts if expected_match(text, topic)}
        assert found(trie, topic) == expected
        assert trie.matches(topic) is selectors.matches([topic]) is bool(expected)


@given(st.lists(st.tuples(st.booleans(), pattern_texts), max_size=80), topic_texts)
def test_patterns_come_and_go(changes: list[tuple[bool, str]], topic: str) -> None:
    trie, texts = PatternTrie(), set()
    for is_new, text in changes:
        if is_new:
            trie.add(Pattern(text))
            texts.add(text)
        elif texts:
            trie.remove(Pattern(min(texts)))
            texts.remove(min(texts))
    assert found(trie, topic) == {text for text in texts if expected_match(text, topic)}
    for text in texts:
        trie.remove(Pattern(text))
    assert steps(trie, topic) == 0


@given(
    st.sets(pattern_texts, max_size=40),
    st.sets(pattern_texts, min_size=1, max_size=40),
    st.integers(0, 40),
    topic_texts,
)
def test_a_search_goes_on_while_patterns_come_and_go(
    before: set[str], meanwhile: set[str], after_steps: int, topic: str
) -> None:
    trie = PatternTrie(map(Pattern, before))
    gone = {text for text in before if len(text) % 3 == 0}
    texts = set()
    for number, pattern in enumerate(trie.search(topic)):
        if number == after_steps:
            for text in meanwhile - before:
                trie.add(Pattern(text))
            for text in gone:
                trie.remove(Pattern(text))
        if pattern is not None:
            texts.add(pattern.text)
    stayed = {text for text in before - gone if expected_match(text, topic)}
    assert stayed <= texts <= {text for text in before | meanwhile if expected_match(text, topic)}


def test_a_topic_meets_few_of_many_patterns() -> None:
    trie = PatternTrie(Pattern(f"c{client}/*/p{number}") for client in range(100) for number in range(100))
    assert steps(trie, "new/1/2") <= 10
    assert steps(trie, "c7/x/p8") <= 20
    assert found(trie, "c7/x/p8") == {"c7/*/p8"}


def test_the_steps_for_hostile_patterns_are_bounded_by_their_number() -> None:
    texts = ["/".join("a*"[number >> bit & 1] for bit in range(11)) for number in range(2048)]
    trie = PatternTrie(map(Pattern, texts))
    assert found(trie, "/".join("a" * 11)) == set(texts)
    assert steps(trie, "/".join("a" * 11)) <= 3 * len(texts)


def test_the_memory_for_a_pattern_of_many_segments_is_bounded() -> None:
    patterns = [Pattern("a/" * 500 + f"{number}/*") for number in range(200)]
    tracemalloc.start()
    try:
        trie = PatternTrie(patterns)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 200_000
    assert found(trie, "a/" * 500 + "7/x") == {patterns[7].text}


def test_patterns_with_the_same_first_segments_are_split_once() -> None:
    patterns = [Pattern("a/" * 15 + "*/" * 400 + f"{number}") for number in range(9)]
    per_pattern = count_instructions(lambda: PatternTrie(patterns)) / len(patterns)
    assert per_pattern < 1_200  # it was 1,500
