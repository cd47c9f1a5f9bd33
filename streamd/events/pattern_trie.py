"""The trie of patterns: finds those that match a topic without trying all of them.

The patterns are ordered by their segments, each with the separator before it. From one node a topic leads to
three at most: that of its segment, that of ``*`` and that of ``**``. So a topic of a few segments is compared
with few patterns, however many there are::

    root -- "merchant" -+- ":acme" -- ":*"     merchant:acme:*
                        '- ":*" -- ":done"     merchant:*:done

A node is divided when it has more than ``_NODE_PATTERNS`` patterns, and never below ``_DEPTH_MAX`` segments:
the memory for a pattern is bounded, whatever its text. The nodes only choose the patterns to be tried.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from .pattern import EVERYTHING, Pattern, split_segments

_NODE_PATTERNS: Final = 8
_DEPTH_MAX: Final = 16


class _Node:
    """The patterns with the same first segments: those not divided further, and the others by segment."""

    __slots__ = ("children", "patterns")

    def __init__(self) -> None:
        self.patterns: dict[Pattern, None] = {}
        self.children: dict[str, _Node] = {}


class PatternTrie:
    """A set of patterns, in which those that match a topic are found by its segments."""

    __slots__ = ("_root",)

    def __init__(self, patterns: Iterable[Pattern] = ()) -> None:
        self._root = _Node()
        for pattern in patterns:
            self.add(pattern)

    def add(self, pattern: Pattern) -> None:
        """Add a pattern, if it is not there."""
        node, depth, keys = self._root, 0, _keys(pattern)
        while node.children and depth < len(keys):
            child = node.children.get(keys[depth])
            if child is None:
                child = node.children[keys[depth]] = _Node()
            node, depth = child, depth + 1
        node.patterns[pattern] = None
        if not node.children:
            _divide(node, depth)

    def remove(self, pattern: Pattern) -> None:
        """Remove a pattern, which must be there, and the nodes that are empty without it."""
        node, depth, keys = self._root, 0, _keys(pattern)
        path = []
        while node.children and depth < len(keys):
            path.append((node, keys[depth]))
            node, depth = node.children[keys[depth]], depth + 1
        del node.patterns[pattern]
        while path and not node.patterns and not node.children:
            node, key = path.pop()
            del node.children[key]

    def matches(self, topic: str) -> bool:
        """Return True if a pattern matches the topic."""
        root = self._root
        for pattern in root.patterns:
            if pattern.matches(topic):
                return True
        return bool(root.children) and any(pattern is not None for pattern in self.search(topic))

    def search(self, topic: str) -> Iterator[Pattern | None]:
        """Yield the patterns that match a topic, and None for each step that finds none.

        Patterns may be added and removed meanwhile. Those may be missing, and one may come twice.
        """
        segments = split_segments(topic, _DEPTH_MAX)
        waiting = [(self._root, 0)]
        while waiting:
            node, depth = waiting.pop()
            for pattern in tuple(node.patterns):
                yield pattern if pattern.matches(topic) else None
            if not node.children or depth == len(segments):
                continue
            segment = segments[depth]
            star = segment[:1] + "*" if depth else "*"
            rest = star + "*"
            children = node.children
            for key in (star, rest) if segment in (star, rest) else (segment, star, rest):
                child = children.get(key)
                if child is not None:
                    waiting.append((child, depth + 1))
                    yield None


def _keys(pattern: Pattern) -> list[str]:
    """Return the keys of a pattern's way from the root."""
    return ["**"] if pattern.text == EVERYTHING else split_segments(pattern.text, _DEPTH_MAX)[:_DEPTH_MAX]


def _divide(node: _Node, depth: int, keys: Mapping[Pattern, list[str]] | None = None) -> None:
    """Distribute the patterns of a node to children if they are too many.

    Args:
        node: the node.
        depth: number of segments that its patterns share.
        keys: of these patterns; None to split their texts, once for all the nodes below.
    """
    if len(node.patterns) <= _NODE_PATTERNS or depth == _DEPTH_MAX:
        return
    patterns, node.patterns = node.patterns, {}
    if keys is None:
        keys = {pattern: _keys(pattern) for pattern in patterns}
    for pattern in patterns:
        way = keys[pattern]
        if depth == len(way):  # it ends here
            node.patterns[pattern] = None
        else:
            node.children.setdefault(way[depth], _Node()).patterns[pattern] = None
    for child in node.children.values():
        _divide(child, depth + 1, keys)
