"""Normalization of text before it is judged: entities, typographic punctuation, invisible characters.

Lexicons and rules are written in plain ASCII. ``don't`` is a negation to them, and ``don’t`` or ``don&#39;t``
are not. The result is for judging and counting only; it is never shown in place of the text.
"""

import html
import re
import unicodedata
from typing import Final

_UNESCAPES_MAX: Final = 3  # text is escaped again by each program on its way that takes it for plain text
# The digits are bounded, because html.unescape raises on a number with thousands of them.
_ENTITY: Final = re.compile(
    r"&(?:#[0-9]{1,7}(?![0-9])|#[xX][0-9a-fA-F]{1,6}(?![0-9a-fA-F])|[A-Za-z][A-Za-z0-9]{1,31});?"
)
_PIECE_CHARS: Final = 512  # NFKC takes time with the square of a run of combining marks
_PIECE: Final = re.compile(rf".{{1,{_PIECE_CHARS - 1}}}\s|.{{1,{_PIECE_CHARS}}}", re.DOTALL)

_INVISIBLE: Final = (
    *(0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF),
    *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
    *(*range(0xFE00, 0xFE10), *range(0xE0000, 0xE0200)),  # variation selectors; tags
)
_REPLACED: Final = (
    ("'", "`´‘’‚‛ʹʻʼʽˈ′‵ꞌ՚‹›｀"),
    ('"', "“”„‟«»″‶〝〞"),
    ("-", "‐‑‒–−⁃"),
    (" - ", "—―⸺⸻"),  # a dash between two words has no spaces
    (" ", "™℠®©"),  # NFKC would append letters to the word
)
_TABLE: Final[dict[int, str | None]] = {
    **dict.fromkeys(_INVISIBLE),
    **{ord(character): plain for plain, characters in _REPLACED for character in characters},
}


def normalize_text(text: str) -> str:
    """Normalize a text for lexicons and rules.

    Decodes HTML entities (WHATWG HTML section 13.5), also those that were escaped again; replaces
    typographic apostrophes, quotes and dashes by those of ASCII, and trade mark signs by spaces; removes soft
    hyphens, joiners, bidirectional controls and variation selectors; and applies NFKC (Unicode Standard
    Annex 15), which turns full-width forms, ligatures and styled letters into plain ones.

    Takes about a microsecond for ASCII, and time in proportion to the length for any text.
    """
    if "&" in text:
        text = _unescape(text)
    if text.isascii():
        return text.replace("`", "'")
    text = text.translate(_TABLE)
    if len(text) <= _PIECE_CHARS:
        return unicodedata.normalize("NFKC", text)
    return "".join(unicodedata.normalize("NFKC", piece) for piece in _PIECE.findall(text))


def _unescape(text: str) -> str:
    for _ in range(_UNESCAPES_MAX):
        before, text = text, _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if text == before:
            break
    return text
