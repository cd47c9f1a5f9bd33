"""Choose the text generator by the settings."""

import re
from typing import Final

import httpx

from ..errors import ConfigError
from .openai import OpenAIGenerator
from .port import Rules, TextGenerator
from .rules import RuleGenerator
from .settings import TextSettings

_KEY: Final = re.compile(r"[!-~]*")  # visible ASCII: it is part of a header
_EXAMPLE: Final = "such as https://api.example/v1"


def make_generator(settings: TextSettings, rules: Rules) -> TextGenerator:
    """Return a generator for the API at ``text.url``, or one that follows rules without a URL.

    Args:
        settings: the ``text`` section.
        rules: the rules by purpose, for the case without a URL.

    Raises:
        ConfigError: the URL, the model or the key is invalid. The message never contains the key.
    """
    if not settings.url:
        return RuleGenerator(rules)
    try:
        url = httpx.URL(settings.url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"text.url must be a URL {_EXAMPLE}: {error}", field="text.url") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(f"text.url must be an http or https URL, {_EXAMPLE}", field="text.url")
    if url.userinfo:
        raise ConfigError("text.url must not contain a password: set text.api_key", field="text.url")
    if not settings.model:
        raise ConfigError("text.model must be set together with text.url", field="text.model")
    if not _KEY.fullmatch(settings.api_key):
        raise ConfigError("text.api_key must be printable ASCII without spaces", field="text.api_key")
    return OpenAIGenerator(settings)
