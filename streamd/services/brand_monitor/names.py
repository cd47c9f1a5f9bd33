"""Matching of names in texts: whole words, without case and accents, the longest name at each position."""

import itertools
import re
from collections.abc import Sequence
from typing import Final

import attrs

from ...text import normalize_text
from .folding import NAME_BEGINS, NAME_ENDS, fold, fold_text

_SEPARATORS: Final = re.compile(r"[\s\-]+")
_AMPERSAND: Final = re.compile(r"\s*&\s*")
# Possessive quantifiers: a run of spaces is matched once, so that backtracking stays linear.
_SPACES: Final = r"\s*+"
_BETWEEN_WORDS: Final = r"[\s\-]++"


def key_of(name: str) -> str:
    """Return the key under which two spellings are one name: ``Coca-Cola`` and ``coca cola``.

    Empty for text without a letter or a digit, which cannot be a name.
    """
    words = _SEPARATORS.split(_AMPERSAND.sub("&", fold_text(name)))
    key = " ".join(word for word in words if word)
    return key if any(character.isalnum() for character in key) else ""


@attrs.frozen
class NameMatches:
    """The names found in one text."""

    text: str  # normalized
    counts: dict[int, int]  # number of occurrences, by the name's index
    spans: tuple[tuple[int, int], ...]  # in the normalized text, in order


class Matcher:
    """Finds names in texts. Safe to use in several threads.

    A text is scanned from left to right, and the longest name at a position wins: ``Apple Music`` does not
    count for ``Apple`` if both are searched. A letter or digit directly before or after makes a different
    word: no ``Apple`` in ``Pineapple``, but one in ``Apple's``, ``#apple`` and ``apple.com``. Scripts without
    spaces and Korean particles are exempt. Spaces and hyphens between the words of a name are equivalent;
    spaces around ``&`` are optional.

    Args:
        names: names with distinct keys, see :func:`key_of`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        keys = [key_of(name) for name in names]
        assert all(keys), "a name must contain a letter or a digit"
        pattern, self._order = _longest_of(keys)
        self._pattern: Final = re.compile(pattern)

    def find(self, text: str) -> NameMatches:
        """Find the names in a text, with their counts and spans."""
        text = normalize_text(text)
        counts: dict[int, int] = {}
        spans = []
        folded = fold(text)
        for match in self._pattern.finditer(folded.text):
            assert match.lastindex is not None  # each name has one group
            name = self._order[match.lastindex - 1]
            counts[name] = counts.get(name, 0) + 1
            spans.append(folded.span(*match.span()))
        return NameMatches(text, counts, tuple(spans))


def _longest_of(keys: Sequence[str]) -> tuple[str, Sequence[int]]:
    """Build a regular expression for the longest key at a position, and the key index of each of its groups.

    Matching takes one step per character of a name at each position where a name begins, however many names
    share a prefix. This bound matters because clients choose both the names and the texts. First characters
    are tested first, because most positions of a text start no name.
    """
    order: list[int] = []
    firsts = "".join(sorted({re.escape(key[0]) for key in keys}))
    names = _trie([(_atoms(key), index) for index, key in enumerate(keys)], order)
    return f"(?=[{firsts}]){NAME_BEGINS}{names}{NAME_ENDS}", order


def _atoms(key: str) -> tuple[str, ...]:
    """Return a regular expression for each character of a key."""
    atoms = []
    for before, character in zip(" " + key, key, strict=False):
        if character == " ":
            atoms.append(_BETWEEN_WORDS)
        else:
            is_free = before != " " and "&" in (before, character)
            atoms.append((_SPACES if is_free else "") + re.escape(character))
    return tuple(atoms)


def _trie(keys: Sequence[tuple[tuple[str, ...], int]], order: list[int]) -> str:
    """Build the expression of a trie: the common prefix, then the alternatives; an empty group ends each key.

    Args:
        keys: the atoms of each key, with its index.
        order: receives the indexes in the order of their groups.
    """
    columns = zip(*(atoms for atoms, _ in keys), strict=False)
    common = sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
    longer = sorted((atoms[common:], index) for atoms, index in keys if len(atoms) > common)
    branches = [
        _trie(list(group), order) for _, group in itertools.groupby(longer, key=lambda item: item[0][0])
    ]
    for atoms, index in keys:
        if len(atoms) == common:  # the shortest comes last: the first alternative that matches wins
            order.append(index)
            branches.append("()")
    return f"{''.join(keys[0][0][:common])}(?:{'|'.join(branches)})"
