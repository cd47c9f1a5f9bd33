"""Folding of text for matching names: case, accents, compatibility forms, and letters of any script.

``Nestlé``, ``NESTLE`` and ``Nestle`` with a combining accent are one name; so are ``Ａｐｐｌｅ`` and
``apple``, ``Mærsk`` and ``Maersk``. Follows Unicode's caseless matching (chapter 3.13, D146) as far as names
need it, and removes accents, but keeps marks that turn one letter into another: Japanese voicing, Indic
vowels.
"""

import itertools
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import attrs

from ...text import normalize_text

_CACHED_MAX: Final = 20_000  # code points: more than one language uses, and a bound on hostile text


def _ranges(text: str) -> str:
    """Convert ranges of code points, such as ``0e00-0eff 3005``, to the inside of a character class."""
    ends = ([int(end, 16) for end in part.split("-")] for part in text.split())
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ends)


def _find_marks() -> str:
    """List the combining marks, which belong to the letter before them, as the inside of a character class.

    Python's ``re`` does not count them as word characters, which splits words of most Indic scripts.
    """
    marks = (code for code in _MARKED if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    runs = itertools.groupby(enumerate(marks), key=lambda pair: pair[1] - pair[0])
    ends = ([code for _, code in run] for _, run in runs)
    return _ranges(" ".join(f"{codes[0]:x}-{codes[-1]:x}" for codes in ends))


_MARKED: Final = [
    *range(0x300, 0x3100),
    *range(0xA000, 0xAC00),
]  # blocks that hold the marks of living scripts
# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, Japanese and Han.
_UNSPACED: Final = _ranges(
    "0e00-0eff 1000-109f 1780-17ff 3005-3007 3040-30ff 31f0-31ff 3400-4dbf 4e00-9fff f900-faff 20000-323af"
)
_HANGUL: Final = _ranges("1100-11ff 3130-318f ac00-d7ff")  # has spaces, but particles are appended to names
_WORD: Final = rf"\w{_find_marks()}"

LETTER: Final = rf"(?!_)[{_WORD}]"
"""One character of a word: a letter, a digit or a mark, in a regular expression."""

NAME_BEGINS: Final = rf"(?:(?=[{_UNSPACED}])|(?<!(?![_{_UNSPACED}])[{_WORD}]))"
"""Start boundary of a name: not after a letter, unless one of the two is of a script without spaces."""

NAME_ENDS: Final = rf"(?:(?<=[{_UNSPACED}{_HANGUL}])|(?!(?![_{_UNSPACED}{_HANGUL}])[{_WORD}]))"
"""End boundary of a name: not before a letter, with the same exception and one for Korean particles."""

# Letters that Unicode does not decompose, although people write them without their strokes.
_PLAIN: Final = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}


@attrs.frozen
class Folded:
    """Normalized text without case and accents."""

    text: str
    offsets: Sequence[int] | None = None  # index of each character in the normalized text, if another

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span in the normalized text of the non-empty ``text[start:end]``."""
        return (start, end) if self.offsets is None else (self.offsets[start], self.offsets[end - 1] + 1)


@lru_cache(_CACHED_MAX)
def _fold_character(character: str) -> str:
    if unicodedata.category(character) == "Pd":
        return "-"
    parts = unicodedata.normalize("NFKD", character.casefold())
    kept = "".join(part for part in parts if not _is_accent(part))
    return unicodedata.normalize("NFC", "".join(_PLAIN.get(part, part) for part in kept))


def _is_accent(character: str) -> bool:
    # Canonical combining classes: 1 strokes, 10 to 36 Hebrew and Arabic points, from 200 accents around
    # a letter. Not 7 to 9 (nukta, Japanese voicing, virama), nor 84 to 132 (marks of Indic scripts and Thai).
    combining = unicodedata.combining(character)
    return combining == 1 or 10 <= combining <= 36 or combining >= 200


def fold(normalized: str) -> Folded:
    """Remove case and accents from normalized text, and keep the mapping back to it."""
    if normalized.isascii():
        return Folded(normalized.lower())
    parts = list(map(_fold_character, normalized))
    folded = "".join(parts)
    if len(folded) == len(parts) and all(map(len, parts)):
        return Folded(folded)
    offsets = [index for index, part in enumerate(parts) for _ in part]
    return Folded(folded, offsets)


def fold_text(text: str) -> str:
    """Return the folded form of a text; texts with the same form look the same to a reader."""
    return fold(normalize_text(text)).text
