"""The selector index: the subscribers of a topic, found in bounded steps, and cached."""

from hypothesis import given
from hypothesis import strategies as st

from streamd.events import Pattern, PatternTrie, Selectors
from streamd.hub.index import SelectorIndex
from tests.support.patterns import expected_match, pattern_texts, topic_texts

CLIENTS = 100
PATTERNS = 100


def patterns(*texts: str) -> Selectors:
    return Selectors(patterns=map(Pattern, texts))


class CountingTrie(PatternTrie):
    """A trie that counts its searches, and the steps of each."""

    __slots__ = ("searches",)

    def __init__(self) -> None:
        super().__init__()
        self.searches: list[int] = []

    def search(self, topic):  # type: ignore[no-untyped-def]
        self.searches.append(0)
        for pattern in super().search(topic):
            self.searches[-1] += 1
            yield pattern


def counting(index: SelectorIndex[int]) -> CountingTrie:
    """Let a new index count its searches."""
    trie = index._trie = CountingTrie()
    return trie


def deep_index() -> tuple[SelectorIndex[int], str]:
    """Return an index whose patterns all match one topic, and that topic."""
    index: SelectorIndex[int] = SelectorIndex(100)
    for number in range(1024):
        index.add(patterns("/".join("a*"[number >> bit & 1] for bit in range(10))), number)
    return index, "/".join("a" * 10)


changes = st.tuples(st.booleans(), st.integers(0, 3), pattern_texts)


@given(st.lists(st.one_of(changes, topic_texts), max_size=60))
def test_it_finds_the_same_whatever_is_cached(steps: list[tuple[bool, int, str] | str]) -> None:
    index: SelectorIndex[int] = SelectorIndex(3)
    entered: set[tuple[int, str]] = set()
    for step in steps:
        if isinstance(step, str):
            expected = {subscriber for subscriber, text in entered if expected_match(text, step)}
            assert index.concerns([step]) or not expected
            found = index.find([step])
            assert set(found) == expected
            assert len(found) == len(expected)
            assert index.concerns([step]) is bool(expected)
            continue
        is_new, subscriber, text = step
        if is_new:
            index.add(patterns(text), subscriber)
            entered.add((subscriber, text))
        else:
            index.remove(patterns(text), subscriber)
            entered.discard((subscriber, text))


def test_a_new_topic_costs_few_steps_beside_10_000_patterns() -> None:
    index: SelectorIndex[int] = SelectorIndex(1000)
    trie = counting(index)
    for client in range(CLIENTS):
        index.add(patterns(*[f"c{client}/*/p{number}" for number in range(PATTERNS)]), client)
    assert index.find(["c7/x/p8"]) == [7]
    assert index.find(["new/1/2"]) == []
    assert max(trie.searches) <= 20


def test_the_subscriptions_of_a_stranger_leave_the_cache_as_it_is() -> None:
    index: SelectorIndex[int] = SelectorIndex(1000)
    trie = counting(index)
    index.add(patterns("t/*"), 1)
    topics = [f"t/{number}" for number in range(50)]
    assert all(index.find([topic]) == [1] for topic in topics)
    for stranger in range(3):
        selectors = patterns(*[f"stranger/{stranger}/{number}/*" for number in range(PATTERNS)])
        index.add(selectors, 2)
        assert all(index.find([topic]) == [1] for topic in topics)
        index.remove(selectors, 2)
        assert all(index.find([topic]) == [1] for topic in topics)
    assert len(trie.searches) == len(topics)
    index.add(patterns("t/7"), 3)
    assert index.find(["t/7"]) == [1, 3]
    assert len(trie.searches) == len(topics)


def test_a_search_that_takes_long_is_left_to_the_fan_out() -> None:
    index, topic = deep_index()
    other = topic[:-1] + "b"
    assert index.concerns([other])  # half of the patterns were tried for it
    assert len(list(index.explore([other]))) >= 10
    assert len(index.find([other])) == 512
    assert list(index.explore([other])) == []  # the answer is cached


def test_patterns_that_come_and_go_during_a_search_are_found() -> None:
    index, topic = deep_index()
    for step, _ in enumerate(index.explore([topic])):
        if step == 3:
            index.add(patterns("a/**"), 5000)
            index.remove(patterns("/".join("a" * 10)), 0)
    assert set(index.find([topic])) == {*range(1, 1024), 5000}


def test_the_cached_matches_are_bounded() -> None:
    index, topic = deep_index()
    for number in range(150):
        index.find([f"{topic[:-1]}{number}"])
    assert sum(len(found) for _, found in index._answers.values()) <= 100_000
    assert index._cached == sum(len(found) for _, found in index._answers.values())
