"""The trie of topics with dropped events: finds the newest event of the topics that patterns match.

Each node has the topics that begin with the same segments, and the newest event of all of them, of those that
a last ``*`` would match there, and of those that a last ``**`` would. So a pattern reads its answer at the
node where only its last segment is left, and a node with nothing newer than what is found already is skipped.
Only a ``*`` in the middle of a pattern leads to all children of a node.

A single topic below a node is not divided into nodes, and no topic into more than ``_DEPTH_MAX``: the memory
for a topic is bounded, whatever its text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ..events import EARLIEST, EventId, Selectors
from ..events.pattern import split_segments

_DEPTH_MAX: Final = 8


class _TopicNode:
    """The topics with the same first segments.

    Attributes:
        children: by their next segment with its separator: a node, or the only topic. The topic that ends
            here is that of "". In a node of the greatest depth they are by their whole rest.
        newest: the newest event of all of them, or a later one that was forgotten.
        newest_of: the same for the topics that patterns match whose last segment is the key, with its
            separator: ``/*``, ``/**``, ``:*`` and ``:**``.
    """

    __slots__ = ("children", "newest", "newest_of")

    def __init__(self) -> None:
        self.children: dict[str, _TopicNode | str] = {}
        self.newest = EARLIEST
        self.newest_of: dict[str, EventId] = {}


class _Front:
    """The patterns that match the segments on the way to a node, by their next segments.

    Args:
        patterns: in segments.
        depth: the number of segments on the way.

    Attributes:
        has_end: one of the patterns ends here.
        has_more: one of the patterns goes on.
        last: the last segments that are wildcards.
        literals: the patterns whose next segment is no wildcard.
        inner: the separators before a ``*`` that is not the last segment.
    """

    __slots__ = ("_depth", "_next", "_stars", "has_end", "has_more", "inner", "last", "literals")

    def __init__(self, patterns: Iterable[Sequence[str]], depth: int) -> None:
        self.has_end = self.has_more = False
        self.last: set[str] = set()
        self.literals: dict[str, list[Sequence[str]]] = {}
        self.inner: set[str] = set()
        self._depth = depth
        self._stars: dict[str, list[Sequence[str]]] = {}
        self._next: dict[str, _Front] = {}
        for pattern in patterns:
            if len(pattern) == depth:
                self.has_end = True
                continue
            self.has_more = True
            segment = pattern[depth]
            text = segment[1:] if depth else segment
            separator = segment[:1] if depth else ""
            if text not in ("*", "**"):
                self.literals.setdefault(segment, []).append(pattern)
                continue
            if text == "*":
                self._stars.setdefault(separator, []).append(pattern)
            if len(pattern) == depth + 1:
                self.last.add(segment)
            else:
                self.inner.add(separator)

    def step(self, segment: str) -> "_Front":
        """Return the patterns that match one more segment."""
        separator = segment[:1] if self._depth else ""
        key = segment if segment in self.literals else separator + "*"
        if len(segment) == len(separator):
            key = segment  # it is empty: no `*` matches it
        front = self._next.get(key)
        if front is None:
            patterns = list(self.literals.get(segment, ()))
            if len(segment) > len(separator):
                patterns += self._stars.get(separator, ())
            front = self._next[key] = _Front(patterns, self._depth + 1)
        return front


class TopicTrie:
    """The topics of a mapping, in which those that patterns match are found by their segments.

    Args:
        newest: the newest event of each topic; a topic is put here when it has changed.
    """

    __slots__ = ("_newest", "_root")

    def __init__(self, newest: Mapping[str, EventId]) -> None:
        self._newest = newest
        self._root = _TopicNode()

    def put(self, topic: str) -> None:
        """Add a topic, or take over its newest event."""
        self._put(self._root, 0, topic)

    def _put(self, node: _TopicNode, depth: int, topic: str) -> None:
        newest = self._newest.get(topic, EARLIEST)
        segments = split_segments(topic, _DEPTH_MAX)
        while True:
            node.newest = max(node.newest, newest)
            if depth == len(segments):
                node.children[""] = topic
                return
            segment = segments[depth]
            if depth:
                _note(node, segment, depth == len(segments) - 1, newest)
            child = node.children.get(segment)
            if child is None or child == topic:
                node.children[segment] = topic
                return
            if isinstance(child, str):
                only, child = child, _TopicNode()
                node.children[segment] = child
                self._put(child, depth + 1, only)
            node, depth = child, depth + 1

    def __contains__(self, topic: str) -> bool:
        child: _TopicNode | str | None = self._root
        for segment in [*split_segments(topic, _DEPTH_MAX), ""]:
            if child is None or isinstance(child, str):
                break
            child = child.children.get(segment)
        return child == topic

    def remove(self, topic: str) -> None:
        """Remove a topic, if it is there, and the nodes that are empty without it."""
        node, path = self._root, []
        for segment in [*split_segments(topic, _DEPTH_MAX), ""]:
            path.append((node, segment))
            child = node.children.get(segment)
            if child is None or isinstance(child, str):
                break
            node = child
        if child != topic:
            return
        while path:
            node, segment = path.pop()
            del node.children[segment]
            if node.children:
                return

    def search(self, selectors: Selectors, after: EventId) -> Iterator[EventId | None]:
        """Yield newer and newer events after a position of topics that the patterns match, and None for each
        step that finds none.

        Topics may be put and removed meanwhile; these may be missing.

        Args:
            selectors: none of its patterns matches every topic.
            after: the position.
        """
        best = after
        first = _Front([split_segments(each.text) for each in selectors.patterns], 0)
        waiting: list[tuple[_TopicNode, _Front, int, int]] = [(self._root, first, 0, 0)]
        while waiting:
            node, front, depth, end = waiting.pop()
            yield None
            if node.newest <= best:
                continue
            for key in front.last:
                if node.newest_of.get(key, EARLIEST) > best:
                    yield (best := node.newest_of[key])
            for segment, child in _candidates(node, front, depth):
                yield None
                if not isinstance(child, str):
                    if child.newest > best:
                        waiting.append((child, front.step(segment), depth + 1, end + len(segment)))
                    continue
                newest = self._newest.get(child, EARLIEST)
                if newest <= best:
                    continue
                if segment:
                    following = front.step(segment)
                    if not (following.has_end if len(child) == end + len(segment) else following.has_more):
                        continue
                if selectors.matches((child,)):
                    yield (best := newest)


def _candidates(node: _TopicNode, front: _Front, depth: int) -> Iterator[tuple[str, _TopicNode | str]]:
    """Yield the children that may match, with their segments; "" for topics to be compared whole."""
    children = node.children
    if depth == _DEPTH_MAX:
        yield from [("", topic) for topic in children.values()]
        return
    if front.has_end and "" in children:
        yield "", children[""]
    for segment in front.literals:
        if segment in children:
            yield segment, children[segment]
    if not front.inner:
        return
    length = 1 if depth else 0
    for segment in list(children):
        if segment[:length] in front.inner and segment not in front.literals:
            child = children.get(segment)
            if child is not None and segment:
                yield segment, child


def _note(node: _TopicNode, segment: str, is_last: bool, newest: EventId) -> None:
    """Note the newest event of a topic for the patterns whose last segment is a wildcard.

    Args:
        node: of the segments before.
        segment: the next one with its separator, or in a node of the greatest depth the whole rest.
        is_last: nothing follows.
        newest: the event.
    """
    separator, text = segment[0], segment[1:]
    keys = []
    if text or not is_last:
        keys.append(separator + "**")
    if text and is_last and "/" not in text and ":" not in text:
        keys.append(separator + "*")
    for key in keys:
        if newest > node.newest_of.get(key, EARLIEST):
            node.newest_of[key] = newest
