"""The embedded rules: Markdown templates that compose the sections where no model is configured.

A template in ``data/templates/`` writes one section, without its heading, from the plan. The same plan
always gives the same text.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ...text import Rules
from .catalogue import DATA, SECTIONS


def make_rules() -> Rules:
    """Return the rules by the purpose of a prompt. Their facts are ``plan``, a :class:`~.plan.StrategyPlan`.

    Raises:
        jinja2.TemplateError: a section has no template, or its template has a syntax error.
    """
    return {
        section.purpose: partial(_compose, _TEMPLATES.get_template(f"{section.name}.md"))
        for section in SECTIONS
    }


def _compose(template: Template, facts: Mapping[str, Any]) -> str:
    return template.render(facts).rstrip("\n")


def end_sentence(text: str) -> str:
    """Add a full stop, unless the text ends a sentence already."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def add_article(noun: str) -> str:
    """Put ``a`` or ``an`` before a noun."""
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith('user') else 'a'} {noun}"


def list_in_words(texts: Iterable[str]) -> str:
    """Write ``a, b and c``."""
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def escape_cell(text: str) -> str:
    """Escape the bars in a text that stands in a table's cell."""
    return text.replace("|", "\\|")


def first_clause(phrase: str) -> str:
    """Cut a phrase at its first comma, colon or ``and``."""
    return re.split(r"[,:]| and ", phrase)[0]


def quote(text: str) -> str:
    """Put a text between quotation marks."""
    return f"“{text}”"


_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(DATA / "templates"),
    autoescape=False,  # noqa: S701 - the texts are Markdown, which clients render and escape
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "article": add_article,
    "cell": escape_cell,
    "first_clause": first_clause,
    "listed": list_in_words,
    "quote": quote,
    "sentence": end_sentence,
}
