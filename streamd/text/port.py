"""The port of text generators."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import attrs

from ..errors import StreamdError

Rules = Mapping[str, Callable[[Mapping[str, Any]], str]]
"""Functions that compose a text from a prompt's facts, by purpose."""


class GenerationFailed(StreamdError):
    """There is no text, or it was cut off. The pieces before the failure are not the requested text."""

    code = "generation-failed"
    status = 502
    retryable = True


@attrs.frozen(kw_only=True)
class Prompt:
    """A request for a text, for both implementations: instructions for a model, and facts for a rule."""

    purpose: str  # selects the rule if no model is configured, such as "strategy.positioning"
    system: str  # the model's instructions
    user: str  # the model's input
    facts: Mapping[str, Any] = attrs.field(factory=dict)  # the rule's input


class TextGenerator(Protocol):
    """Generates texts, any number at a time."""

    @property
    def name(self) -> str:
        """``rules``, or the model's name."""
        ...

    def generate(self, prompt: Prompt) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Begin a text, and yield an iterator over its pieces as they arrive. No piece is empty.

        Raises:
            GenerationFailed: on entering or from the iterator: there is no text, or the rest is missing.

        Leaving the block, or a cancellation, gives up the text and closes its connection.
        """
        ...


async def generate_text(generator: TextGenerator, prompt: Prompt) -> str:
    """Return a text in one piece.

    Raises:
        GenerationFailed: there is no text, or a part of it is missing.
    """
    async with generator.generate(prompt) as pieces:
        return "".join([piece async for piece in pieces])
