"""Settings of text generation."""

from collections.abc import Iterator
from typing import ClassVar

import attrs

from ..config import Check, Clash, RetrySettings, group, positive, setting, tuning
from ..outbound import has_password, is_http_url, is_token


@attrs.frozen(kw_only=True)
class TextSettings:
    """Generated text: an OpenAI-compatible API, or embedded rules."""

    renamed: ClassVar = {"attempts": "retry.attempts", "retry_seconds": "retry.backoff_seconds"}

    url: str = setting(
        "",
        "Base URL of an OpenAI-compatible API with streaming, such as https://api.example/v1. Empty: "
        "embedded rules compose the text, without a network.",
        Check("empty, or an http or https URL", lambda text: not text or is_http_url(text)),
        Check("without a password, which is text.api_key", lambda text: not has_password(text)),
    )
    api_key: str = setting(
        "",
        "Key of the API, sent as a bearer token.",
        Check("printable ASCII without spaces", is_token),
        secret=True,
    )
    model: str = setting("", "Model to request; required with the URL.")
    timeout_seconds: float = setting(60.0, "Timeout of a whole text (s).", positive)
    idle_seconds: float = tuning(20.0, "Timeout between two pieces of a text (s).", positive)
    max_text_bytes: int = tuning(262_144, "Maximum size of a text from the API (bytes).", positive)
    retry: RetrySettings = group(RetrySettings(), tuning=True)

    def clashes(self) -> Iterator[Clash]:
        """Yield the contradictions within the section."""
        if self.url and not self.model:
            yield Clash(("url", "model"), "the API needs the name of a model: set text.model, too")
