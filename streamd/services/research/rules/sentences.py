"""The sentences of the rules (``data/sentences.toml``), and the advice in them (``data/advice.toml``)."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from jinja2 import Environment, StrictUndefined
from msgspec import Meta

from ....config import load_tables, read_toml
from ..roles import Field, Role

_DATA: Final = Path(__file__).parent.parent / "data"
# A sentence names only this many; the finding has them all.
_NAMES_SHOWN: Final = 5
# Data from elsewhere may hold anything in place of a name.
_NAME_CHARS: Final = 80

Text = Annotated[str, Meta(min_length=1)]


class Advice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Advice on one subject; ``data/advice.toml`` explains the fields."""

    name: Text
    default: Text
    fields: dict[Field, Text]


def write_sentence(rule: str, sentence: str, role: Role, facts: Mapping[str, Any]) -> str:
    """Write a sentence of a rule.

    Args:
        rule: the name of the rule.
        sentence: its name in the rule's table.
        role: of the caller.
        facts: the values in the sentence.
    """
    advice = partial(_advise, role.field)
    return _join_lines(SENTENCES[rule][sentence].render(facts, your=role, advice=advice))


def _advise(field: Field, subject: str) -> str:
    """Return the advice on a subject for a caller who works in a field."""
    advice = _ADVICE[subject]
    return advice.fields.get(field, advice.default)


def clip(text: str) -> str:
    """Shorten a text from the data to the length of a name."""
    text = _join_lines(text)
    return text if len(text) <= _NAME_CHARS else text[: _NAME_CHARS - 1] + "…"


def _join_lines(text: str) -> str:
    return " ".join(text.split())


def names(all: Iterable[str]) -> str:
    """Write ``A, B and C``; of many names the first ones, and the number of the others."""
    shown = [clip(name) for name in all]
    if len(shown) > _NAMES_SHOWN:
        shown[_NAMES_SHOWN:] = [f"{len(shown) - _NAMES_SHOWN} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def be(number: int) -> str:
    """Return ``is`` for one, ``are`` for any other number."""
    return "is" if number == 1 else "are"


def count(number: int, one: str, many: str = "") -> str:
    """Write ``1 person`` or ``3 people``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


_ENVIRONMENT: Final = Environment(
    autoescape=False,  # noqa: S701 - the sentences are plain text
    undefined=StrictUndefined,
)
_ENVIRONMENT.filters |= {
    "be": be,
    "clip": clip,
    "count": count,
    "names": names,
    "plain": "{:g}".format,
    "signed": "{:+g}".format,
}
_ADVICE: Final = {advice.name: advice for advice in load_tables(_DATA / "advice.toml", Advice)}
SENTENCES: Final = {
    rule: {name: _ENVIRONMENT.from_string(text) for name, text in sentences.items()}
    for rule, sentences in msgspec.convert(
        read_toml(_DATA / "sentences.toml"), dict[str, dict[str, Text]]
    ).items()
}
