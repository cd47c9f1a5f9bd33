"""Who is named in a text: whole words, without regard to case and accents, the longest name at each place."""

import itertools
import re
from collections.abc import Sequence
from typing import Final

import attrs

from .folding import NAME_BEGINS, NAME_ENDS, fold, fold_text, prepare

_SEPARATORS: Final = re.compile(r"[\s\-]+")
_AMPERSAND: Final = re.compile(r"\s*&(?:amp;)?\s*")
_BETWEEN_WORDS: Final = r"[\s\-]+"
_AFTER_AND: Final = r"(?:amp;)?\s*"  # texts taken from pages have it escaped, now and then
_AND: Final = rf"\s*&{_AFTER_AND}"


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
        # By their first characters, and the longest first: of alternatives the first that fits holds.
        self._order: Final = sorted(range(len(keys)), key=lambda place: (keys[place][0], -len(keys[place])))
        self._pattern: Final = re.compile(_one_of([keys[place] for place in self._order]))

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


def _one_of(keys: Sequence[str]) -> str:
    """A regular expression with a group for each key; they come sorted by their first characters.

    Those are looked at before anything else, because most places of a text begin no name.
    """
    branches = [
        (re.escape(first), "|".join(f"({_rest(key)})" for key in beginning))
        for first, beginning in itertools.groupby(keys, key=lambda key: key[0])
    ]
    firsts = "".join(first for first, _ in branches)
    names = "|".join(f"{first}(?:{rests})" for first, rests in branches)
    return f"(?=[{firsts}]){NAME_BEGINS}(?:{names}){NAME_ENDS}"


def _rest(key: str) -> str:
    """A regular expression for what follows the first character."""
    words = (_AND.join(map(re.escape, word.split("&"))) for word in key[1:].split(" "))
    return (_AFTER_AND if key[0] == "&" else "") + _BETWEEN_WORDS.join(words)
