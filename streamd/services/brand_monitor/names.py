"""Who is named in a text: whole words, without regard to case and accents, the longest name at each place."""

import itertools
import re
from collections.abc import Sequence
from typing import Final

import attrs

from .folding import NAME_BEGINS, NAME_ENDS, fold, fold_text, prepare

_SEPARATORS: Final = re.compile(r"[\s\-]+")
_AMPERSAND: Final = re.compile(r"\s*&(?:amp;)?\s*")
# Possessive: a run of spaces is never tried piece by piece, nor by two parts of a name.
_SPACES: Final = r"\s*+"
_BETWEEN_WORDS: Final = r"[\s\-]++"
_AND: Final = "&(?:amp;)?"  # texts taken from pages have it escaped, now and then


def key_of(name: str) -> str:
    """By what two names are the same: ``Coca-Cola`` and ``coca cola`` are.

    Empty for what cannot be a name: that needs a letter or a digit.
    """
    words = _SEPARATORS.split(_AMPERSAND.sub("&", fold_text(name)))
    key = " ".join(word for word in words if word)
    return key if any(character.isalnum() for character in key) else ""


@attrs.frozen
class Found:
    """What a text says by name."""

    counts: dict[int, int]  # how often each name occurs, by its place among the names
    spans: tuple[tuple[int, int], ...]  # where they are in the prepared text, in order


class Matcher:
    """Finds names in texts. Safe to use in several threads.

    Texts are read from left to right, and at each place the longest name holds: where both are looked for,
    ``Apple Music`` does not name ``Apple`` as well. Letters and digits on either side make another word: no
    ``Apple`` in ``Pineapple``, but one in ``Apple's``, ``#apple`` and ``apple.com``. Scripts without spaces
    between words do not, nor Korean particles. Spaces and hyphens between the words of a name are
    the same; spaces around ``&`` are free.

    Args:
        names: each with a key of its own.
    """

    def __init__(self, names: Sequence[str]) -> None:
        keys = [key_of(name) for name in names]
        assert all(keys), "a name needs a letter or a digit"
        pattern, self._order = _one_of(keys)
        self._pattern: Final = re.compile(pattern)

    def find(self, text: str) -> Found:
        """Who is named in ``text``, how often and where."""
        counts: dict[int, int] = {}
        spans = []
        folded = fold(prepare(text))
        for match in self._pattern.finditer(folded.text):
            assert match.lastindex is not None  # one group each
            place = self._order[match.lastindex - 1]
            counts[place] = counts.get(place, 0) + 1
            spans.append(folded.span(*match.span()))
        return Found(counts, tuple(spans))


def _one_of(keys: Sequence[str]) -> tuple[str, Sequence[int]]:
    """A regular expression for the longest of the keys at a place, and whose each of its groups is.

    Looking takes a step for each character of a name, at each place where one begins, however many names
    begin alike: nothing else runs in the process meanwhile, and others choose both the names and the texts.
    First characters are looked at before anything else, because most places of a text begin no name.
    """
    order: list[int] = []
    firsts = "".join(sorted({re.escape(key[0]) for key in keys}))
    names = _tree([(_atoms(key), place) for place, key in enumerate(keys)], order)
    return f"(?=[{firsts}]){NAME_BEGINS}{names}{NAME_ENDS}", order


def _atoms(key: str) -> tuple[str, ...]:
    """A regular expression for each character of a key."""
    atoms = []
    for before, character in zip(" " + key, key, strict=False):
        if character == " ":
            atoms.append(_BETWEEN_WORDS)
        else:
            is_free = before != " " and "&" in (before, character)
            atoms.append((_SPACES if is_free else "") + (_AND if character == "&" else re.escape(character)))
    return tuple(atoms)


def _tree(keys: Sequence[tuple[tuple[str, ...], int]], order: list[int]) -> str:
    """What keys have in common once, then what they differ in; an empty group stands for the end of each.

    Args:
        keys: as :func:`_atoms`, each with its place.
        order: takes the places, in the order of their groups.
    """
    columns = zip(*(atoms for atoms, _ in keys), strict=False)
    common = sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
    longer = sorted((atoms[common:], place) for atoms, place in keys if len(atoms) > common)
    branches = [
        _tree(list(alike), order) for _, alike in itertools.groupby(longer, key=lambda item: item[0][0])
    ]
    for atoms, place in keys:
        if len(atoms) == common:  # last: of alternatives the first that fits holds, and it is the shortest
            order.append(place)
            branches.append("()")
    return f"{''.join(keys[0][0][:common])}(?:{'|'.join(branches)})"
