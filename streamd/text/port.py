"""What a program needs to know of a text generator."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import attrs

from ..errors import StreamdError

Rules = Mapping[str, Callable[[Mapping[str, Any]], str]]
"""By purpose, what composes a text from a prompt's facts."""


class GenerationFailed(StreamdError):
    """There is no text, or it was cut off. What came before it is not the text that was asked for."""

    code = "generation-failed"
    status = 502
    retryable = True


@attrs.frozen(kw_only=True)
class Prompt:
    """What text is wanted, told both ways."""

    purpose: str  # which rule composes it when no model is configured, such as "strategy.positioning"
    system: str  # what a model is told it is to do
    user: str  # what a model is told of the matter
    facts: Mapping[str, Any] = attrs.field(factory=dict)  # what the rules work on


class TextGenerator(Protocol):
    """Makes texts; any number at a time."""

    @property
    def name(self) -> str:
        """``rules``, or the model's."""
        ...

    def generate(self, prompt: Prompt) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Begin a text, and give its pieces as they come; none of them is empty.

        Raises:
            GenerationFailed: on entering, or from the pieces: there is no text, or it does not go on.

        Leaving the block or cancelling it gives the text up and closes the connection, if there is one.
        """
        ...


async def whole(generator: TextGenerator, prompt: Prompt) -> str:
    """The text in one piece.

    Raises:
        GenerationFailed: there is none, or not all of it.
    """
    async with generator.generate(prompt) as pieces:
        return "".join([piece async for piece in pieces])
