"""Texts of a task: checked when a caller sends them, and made valid when work in this process reports them.

==================  ==========================================================================
message, error      :attr:`~streamd.characters.TextKind.TEXT` of at most 2000 characters
name of a step      an identifier of 1 to 2000 characters
code of an error    an identifier of 1 to 64 characters
streamed text       ``TEXT`` of any length; the settings limit the whole of it
==================  ==========================================================================

A caller can correct its text, so an invalid one is rejected with the name of its field. The text of an
exception or of a library can contain anything, and must not fail the work that passes it on, so its invalid
characters are replaced by question marks.
"""

from typing import Final

from ..characters import TextKind, check_text, replace_invalid
from ..errors import InvalidField

_CHARS_MAX: Final = 2000  # of a message, step name or error: a sentence for people, not a document
_CODE_CHARS_MAX: Final = 64  # of a name that programs compare; a reduced message has room for it
_DEFAULT_CODE: Final = "failed"


def fit(sentence: str, kind: TextKind = TextKind.TEXT) -> str:
    """Shorten a sentence to the maximum length, and replace its invalid characters."""
    return make_valid(sentence[:_CHARS_MAX], kind)


def fit_code(code: str) -> str:
    """Shorten the code of an error, and replace its invalid characters; an empty one becomes ``failed``."""
    return make_valid(code[:_CODE_CHARS_MAX], TextKind.IDENTIFIER) or _DEFAULT_CODE


def make_valid(text: str, kind: TextKind = TextKind.TEXT) -> str:
    """Replace each invalid character of a text by a question mark."""
    return replace_invalid(text, lambda _: "?", kind)


def check_sentence(value: str, field: str) -> str:
    """Check a sentence, which may be empty, and return it.

    Raises:
        InvalidField: it is no text, is too long, or has an invalid character.
    """
    return _check(value, field, TextKind.TEXT, _CHARS_MAX)


def check_step_name(value: str, field: str, *, is_optional: bool = False) -> str:
    """Check the name of a step, which may be empty only if it ``is_optional``, and return it.

    Raises:
        InvalidField: it is no text, is empty or too long, or has an invalid character.
    """
    return _check(value, field, TextKind.IDENTIFIER, _CHARS_MAX, is_optional=is_optional)


def check_code(value: str, field: str) -> str:
    """Check the code of an error, and return it.

    Raises:
        InvalidField: it is no text, is empty or too long, or has an invalid character.
    """
    return _check(value, field, TextKind.IDENTIFIER, _CODE_CHARS_MAX, is_optional=False)


def check_streamed(text: str) -> str:
    """Check a piece of a task's text, and return it.

    Raises:
        InvalidField: it is no text, or has an invalid character.
    """
    return _check(text, "text", TextKind.TEXT, None)


def default_blank(value: str, field: str, default: str) -> str:
    """Check a sentence as :func:`check_sentence`, and replace a blank one by a default."""
    checked = check_sentence(value, field)
    return checked if checked.strip() else default


def _check(value: str, field: str, kind: TextKind, max_chars: int | None, *, is_optional: bool = True) -> str:
    if not isinstance(value, str):
        raise InvalidField(f"{field} must be text", field=field)
    if is_optional and not value:
        return value
    return check_text(value, field, kind, max_chars=max_chars)
