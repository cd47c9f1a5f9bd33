"""The embedded generator: texts composed by rules, in sentences and clauses."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import trio

from .port import Prompt, Rules

# A sentence or clause with the space behind it, or the rest of a line. Possessive quantifiers that do not
# overlap take linear time.
_PIECE: Final = re.compile(r"[^.!?;:\n]*+(?:[.!?;:]++(?!\s)[^.!?;:\n]*+)*+[.!?;:\n]*+\s*+")


def split_pieces(text: str) -> list[str]:
    """Split a text into sentences, clauses and lines, each with the space behind it."""
    return [piece for piece in _PIECE.findall(text) if piece]


class RuleGenerator:
    """Composes texts by rules, without a delay between the pieces.

    Args:
        rules: the rules by purpose. A purpose without a rule is a bug (KeyError).
    """

    name: Final = "rules"

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    @asynccontextmanager
    async def generate(self, prompt: Prompt) -> AsyncIterator[AsyncIterator[str]]:
        yield _Pieces(split_pieces(self._rules[prompt.purpose](prompt.facts)))


class _Pieces:
    """An iterator with a checkpoint before each piece, so that a long text does not block the event loop."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        await trio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration
