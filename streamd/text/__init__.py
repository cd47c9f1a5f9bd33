"""Generated text: one port, and the two ways of getting text (layer 3).

::

    port.py        Prompt, TextGenerator, GenerationFailed: what programs use; whole(): the text in one piece
    rules.py       RuleGenerator: composes the text here, by rules, with no network
    openai.py      OpenAIGenerator: an OpenAI-compatible API that streams
    completion.py  Completion: the codec of such a stream, without I/O
    choose.py      make_generator(): which of the two the settings ask for

::

    async with generator.generate(Prompt(purpose="strategy.audience", ...)) as pieces:
        async for piece in pieces:
            ...

Pieces come as they are made. Whatever goes wrong ends in one :class:`GenerationFailed`, whose sentence is
fit for clients; a text that was cut off is a failure, never a short text.

May import ``streamd.config``, ``streamd.errors``, ``streamd.events``, ``streamd.outbound``, httpx, trio and
structlog.
"""

from .choose import make_generator
from .port import GenerationFailed, Prompt, Rules, TextGenerator, whole
from .rules import RuleGenerator
from .settings import TextSettings
from .vader import load_vader, score_text

__all__ = [
    "GenerationFailed",
    "Prompt",
    "RuleGenerator",
    "Rules",
    "TextGenerator",
    "TextSettings",
    "load_vader",
    "make_generator",
    "score_text",
    "whole",
]
