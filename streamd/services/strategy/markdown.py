"""Small pieces of Markdown and of English."""

from collections.abc import Iterable, Sequence


def sentence(text: str) -> str:
    """With a full stop, unless it has its own end."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def article(noun: str) -> str:
    """With ``a`` or ``an``."""
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith('user') else 'a'} {noun}"


def join(texts: Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar within a text does not end its cell."""
    lines = [head, ["---"] * len(head), *([text.replace("|", "\\|") for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def numbered(lines: Iterable[str]) -> str:
    """A numbered list."""
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
