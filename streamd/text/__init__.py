"""Generated text: one port, and two implementations (layer 3).

::

    port.py        Prompt, TextGenerator, GenerationFailed: the port; generate_text(): the text in one piece
    rules.py       RuleGenerator: composes the text by rules, without a network
    openai.py      OpenAIGenerator: an OpenAI-compatible API that streams
    failures.py    BeginFailed: the failures of that API, and which of them a retry may help
    completion.py  Completion: the codec of its stream, without I/O
    choose.py      make_generator(): the implementation that the settings select
    settings.py    TextSettings
    normalize.py   normalize_text(): plain punctuation, no entities or invisible characters
    vader.py       score_text(), score_in_steps(): the score of a text; scoring_cost(): what it costs;
                   sentiment_of(): the sentiment of a score; limit_score(): the nearest score of a sentiment

::

    async with generator.generate(Prompt(purpose="strategy.audience", ...)) as pieces:
        async for piece in pieces:
            ...

Pieces arrive as they are generated. Every failure is one :class:`GenerationFailed` with a sentence for
clients. A text that was cut off is a failure, never a short text.

May import ``streamd.config``, ``streamd.errors``, ``streamd.events``, ``streamd.outbound``,
``streamd.steps``, httpx, trio and structlog.
"""

from typing import TYPE_CHECKING, Any

from .normalize import normalize_text
from .vader import limit_score, load_vader, score_in_steps, score_text, scoring_cost, sentiment_of

if TYPE_CHECKING:
    from .choose import make_generator
    from .port import GenerationFailed, Prompt, Rules, TextGenerator, generate_text
    from .rules import RuleGenerator
    from .settings import TextSettings

_GENERATION = {
    "GenerationFailed": "port",
    "Prompt": "port",
    "RuleGenerator": "rules",
    "Rules": "port",
    "TextGenerator": "port",
    "TextSettings": "settings",
    "generate_text": "port",
    "make_generator": "choose",
}

__all__ = [
    "GenerationFailed",
    "Prompt",
    "RuleGenerator",
    "Rules",
    "TextGenerator",
    "TextSettings",
    "generate_text",
    "limit_score",
    "load_vader",
    "make_generator",
    "normalize_text",
    "score_in_steps",
    "score_text",
    "scoring_cost",
    "sentiment_of",
]


def __getattr__(name: str) -> Any:
    """Import the generators on first use: a worker process, which scores texts, does not need them."""
    if name in _GENERATION:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_GENERATION[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
