"""Settings of text generation."""

from collections.abc import Iterator

import attrs

from ..config import Clash, at_most, positive, setting


@attrs.frozen(kw_only=True)
class TextSettings:
    """The source of generated text."""

    url: str = setting(
        "",
        "Base URL of an OpenAI-compatible API, such as https://api.example/v1; text is then streamed from "
        "its /chat/completions. Empty: text is composed here by rules, without a network.",
    )
    api_key: str = setting("", "Key for that API, sent as a bearer token.", secret=True)
    model: str = setting("", "Model to ask for; must be set with the URL.")
    timeout_seconds: float = setting(
        60.0, "A text that has not come to its end by then is given up (s).", positive
    )
    idle_seconds: float = setting(
        20.0, "A stream of text that says nothing for so long is given up (s).", positive
    )
    attempts: int = setting(
        3, "Tries to begin a text (count); one that has begun is not repeated.", positive, at_most(100)
    )
    retry_seconds: float = setting(
        0.5,
        "Wait before the second try to begin (s); each further wait is twice as long, up to 8 s, and all are "
        "jittered. A longer Retry-After is honoured.",
        positive,
    )
    max_text_bytes: int = setting(262_144, "Largest text taken from the API (bytes).", positive)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        if self.url and not self.model:
            yield Clash(("url", "model"), "the API needs to be told a model: set text.model too")
        if self.url and not self.url.startswith(("http://", "https://")):
            yield Clash(("url",), "must be a URL that begins with http:// or https://")
