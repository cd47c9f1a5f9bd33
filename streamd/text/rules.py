"""The embedded generator: texts composed by rules, in the pieces that a reader would pause at."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import trio

from .port import Prompt, Rules

# Up to the space behind a sentence or clause, or the end of the line. Possessive and without overlap: linear.
_PIECE: Final = re.compile(r"[^.!?;:\n]*+(?:[.!?;:]++(?!\s)[^.!?;:\n]*+)*+[.!?;:\n]*+\s*+")


def split_pieces(text: str) -> list[str]:
    """The text in sentences, clauses and lines, with the space behind each; joined they are the text."""
    return [piece for piece in _PIECE.findall(text) if piece]


class RuleGenerator:
    """Composes texts by rules. A text is there as soon as it is asked for; nothing delays its pieces.

    Args:
        rules: by purpose; a purpose without a rule is an error in the program (KeyError).
    """

    name: Final = "rules"

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    @asynccontextmanager
    async def generate(self, prompt: Prompt) -> AsyncIterator[AsyncIterator[str]]:
        yield _Pieces(split_pieces(self._rules[prompt.purpose](prompt.facts)))


class _Pieces:
    """A checkpoint before each piece: a long text must not hold up everybody else."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        await trio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration
