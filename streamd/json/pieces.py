"""The pieces of a large JSON text, each a valid text of its own, so that each is checked in a short step.

A text is cut behind commas outside of strings. A piece begins with brackets for those open before it, and
ends with brackets for those open after it. A number stands for the values that are cut away::

    {"a": [1, 2,|3, {"b": 4,|"c": 5}], "d": 6}

    {"a": [1, 2,0]}     {"<":[0,3, {"b": 4,">":0}]}     {"<":[{"<":0,"c": 5}], "d": 6}

All pieces are valid exactly if the text is, for a comma has a value on each side. What one piece cannot show
are the names that an object has in several of them: :class:`NamesAcross` keeps those of the open objects.
"""

import secrets
from collections.abc import Iterator
from typing import Any, Final

import attrs

from .structure import brackets_of, closing_brackets, last_comma, mask_escapes, open_brackets

PIECE_BYTES: Final = 32_768
"""Size of a piece, and of the largest text that is checked in one step (bytes). A piece of nothing but
brackets takes 5 to 10 ms."""

_MARKS_MAX: Final = 1024  # brackets, and quotes: without a comma, the levels of a text have far fewer
_TOKEN_BYTES: Final = 8  # nobody guesses them, so that no member has this name


@attrs.frozen
class Piece:
    """A piece of a text.

    Args:
        text: the piece, a valid JSON text if the whole text is valid.
        shift: of its positions against those of the whole text.
        left_open: number of brackets that are open after it.
    """

    text: bytes
    shift: int
    left_open: int


class Pieces:
    """Cuts a text into pieces.

    Args:
        text: the text; any bytes.
        size: maximum size of what a piece has of the text, but for a longer string or number (bytes).

    Attributes:
        before: name of the members that stand for what is before a piece.
        behind: name of the members that stand for what is behind it.
    """

    __slots__ = ("_size", "_text", "before", "behind")

    def __init__(self, text: bytes, size: int = PIECE_BYTES) -> None:
        token = secrets.token_hex(_TOKEN_BYTES)
        self._text = text
        self._size = size
        self.before = "<" + token
        self.behind = ">" + token

    def __iter__(self) -> Iterator[Piece]:
        start = 0
        brackets = b""  # that are open
        while True:
            head = self._head(brackets)
            end = self._find_end(start)
            text = head + self._text[start:end]
            if end == len(self._text):
                yield Piece(text, start - len(head), 0)
                return
            brackets = open_brackets(text)
            tail = b'"%b":0' % self.behind.encode() if brackets.endswith(b"{") else b"0"
            if brackets:  # a comma behind the whole value is an error, so it stays the end
                text += tail + closing_brackets(brackets)
            yield Piece(text, start - len(head), len(brackets))
            start = end

    def _head(self, brackets: bytes) -> bytes:
        """Return the beginning of a piece before which these brackets are open."""
        if not brackets:
            return b""
        name = b'{"%b":' % self.before.encode()
        return brackets.replace(b"{", name) + b"0,"

    def _find_end(self, start: int) -> int:
        """Return the end of a piece: behind a comma, or that of the text."""
        end = start + self._size
        while end < len(self._text):
            masked = mask_escapes(self._text[start:end])
            comma = last_comma(masked)
            if comma >= 0:
                return start + comma + 1
            if max(masked.count(b'"'), len(brackets_of(masked))) > _MARKS_MAX:
                return end  # which is behind the fault
            end += end - start  # a long string, perhaps
        return len(self._text)


class NamesAcross:
    """The names in the objects of a text that are open between two of its pieces.

    Args:
        pieces: of the text.
    """

    __slots__ = ("_names", "_pieces")

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._names: list[set[str]] = []  # for each open bracket, the outermost first; empty for an array

    def add(self, piece: Piece, value: Any) -> bool:
        """Add the names of the next piece.

        Args:
            piece: the piece; no object has two members of one name in it.
            value: its value.

        Returns:
            True if an object has a name in this piece that it has before it, too.
        """
        before = self._pieces.before
        node = value
        opened = []  # the arrays and objects that are open before the piece
        for names in self._names:
            opened.append(node)
            if isinstance(node, dict):
                added = self._names_of(node)
                if not names.isdisjoint(added):
                    return True
                names.update(added)
                node = node[before]
            else:
                node = node[0]
        kept = []
        node = value
        for level in range(piece.left_open):
            if level < len(opened) and opened[level] is node:
                kept.append(self._names[level])
            else:
                kept.append(self._names_of(node) if isinstance(node, dict) else set())
            node = next(reversed(node.values() if isinstance(node, dict) else node))
        self._names = kept
        return False

    def _names_of(self, node: dict[str, Any]) -> set[str]:
        return node.keys() - {self._pieces.before, self._pieces.behind}
