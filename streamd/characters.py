"""Valid characters of text: one rule for the whole package.

==============  ===============================================================================
identifier      an id, a name, a topic: one line, without control characters, lone surrogates,
                and bidirectional embeddings, overrides and isolates
line            a text on one line: as an identifier, and the bidirectional ones are allowed
text            a text of any number of lines: as a line, and tab, CR, LF, U+2028 and U+2029 are
                allowed
==============  ===============================================================================

Control characters are those of Unicode's category Cc. A text on one line has none of CR, LF, NEL (U+0085) and
the line and paragraph separators U+2028 and U+2029: readers of log lines and NDJSON may end a line at any of
them. No text has NEL, which is a control character that few readers know as a line break. A lone surrogate
has no encoding in UTF-8. A bidirectional override makes one identifier look like another (Unicode Technical
Report 36, section 2.2).

Everything else is valid: joiners, soft hyphens, ideographic spaces, combining marks, the marks U+200E and
U+200F of right-to-left scripts, private-use characters, noncharacters (Unicode Corrigendum 9), and characters
that this Python does not know yet. ``str.isprintable`` refuses most of these, so it is no check of validity.

Text is compared by its code points and never normalized: ``Å`` and ``A`` with a combining ring are two names.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from .errors import InvalidField

QUOTED_CHARS_MAX: Final = 200
"""Maximum length of a quote of what a client has sent, which may be as long as a request (characters)."""


class TextKind(StrEnum):
    """The kinds of text. Each value completes the sentence ``... must be printable text, ...``."""

    IDENTIFIER = "on one line and without control characters, lone surrogates and bidi overrides"
    LINE = "on one line and without control characters and lone surrogates"
    TEXT = "without lone surrogates and without control characters other than tab, CR and LF"


_SURROGATES: Final = r"\ud800-\udfff"
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
_SEPARATORS: Final = r"\u2028\u2029"
_BIDI: Final = r"\u202a-\u202e\u2066-\u2069"
_INVALID: Final = {
    TextKind.IDENTIFIER: re.compile(f"[{_CONTROLS}{_SURROGATES}{_SEPARATORS}{_BIDI}]"),
    TextKind.LINE: re.compile(f"[{_CONTROLS}{_SURROGATES}{_SEPARATORS}]"),
    TextKind.TEXT: re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_SURROGATES}]"),
}


def find_invalid(text: str, kind: TextKind = TextKind.IDENTIFIER) -> re.Match[str] | None:
    """Find the first character that is not valid in a kind of text; None if all are valid."""
    # A text without any unusual character is valid, and this is the fastest way to know it.
    return None if text.isprintable() else _INVALID[kind].search(text)


def check_text(
    text: str, field: str, kind: TextKind = TextKind.IDENTIFIER, *, max_chars: int | None = None
) -> str:
    """Return a text of the caller if it is valid, and neither empty nor too long.

    Args:
        text: the text.
        field: the name of the input.
        kind: decides the valid characters.
        max_chars: maximum length (count of characters); None for no limit.

    Raises:
        InvalidField: the text is invalid; the sentence states the rule and the first invalid character.
    """
    length = "1 or more" if max_chars is None else f"1 to {max_chars}"
    invalid = None
    if text and (max_chars is None or len(text) <= max_chars):
        invalid = find_invalid(text, kind)
        if invalid is None:
            return text
    detail = f"{field} must be printable text of {length} characters, {kind.value}"
    if invalid:
        code = ord(invalid[0])
        detail += f"; it has the non-printable character U+{code:04X} at position {invalid.start() + 1}"
    raise InvalidField(detail, field=field)


def cut(text: str, max_chars: int = QUOTED_CHARS_MAX) -> str:
    """Cut input for an error message or a log line to ``max_chars``; an ellipsis shows that it was longer."""
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"


def quoted(value: object, max_chars: int = QUOTED_CHARS_MAX) -> str:
    """Quote input for an error message or a log line as a Python literal, cut as :func:`cut` does.

    Characters that an identifier may have stand as they are, also those that ``repr`` would escape: without
    its joiners, a name in Persian or an emoji is hardly recognized.

    Never quote a token, a cookie or the data of an event.
    """
    if not isinstance(value, str):
        return cut(repr(value), max_chars)
    return _literal(value) if len(value) <= max_chars else f"{_literal(value[:max_chars])}…"


def _literal(text: str) -> str:
    """Return a Python literal of a text, in which only characters that are not valid are escaped."""
    if text.isprintable():
        return repr(text)
    quote = '"' if "'" in text and '"' not in text else "'"  # as repr() chooses it
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escape_invalid(escaped)}{quote}"


def replace_invalid(text: str, replace: Callable[[str], str], kind: TextKind = TextKind.IDENTIFIER) -> str:
    """Replace each character that is not valid in a kind of text by ``replace(character)``."""
    if find_invalid(text, kind) is None:
        return text
    return _INVALID[kind].sub(lambda match: replace(match[0]), text)


def escape_invalid(text: str, *, keep: str = "") -> str:
    """Escape the characters that are not valid in an identifier, as Python's literals do, but for ``keep``.

    The result is safe to write to a terminal, which would obey control characters, and would show the text
    after a bidirectional override in another order.
    """
    return replace_invalid(text, lambda character: character if character in keep else repr(character)[1:-1])
