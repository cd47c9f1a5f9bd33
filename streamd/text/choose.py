"""Choose the text generator by the settings."""

from ..errors import ConfigError
from .openai import OpenAIGenerator
from .port import Rules, TextGenerator
from .rules import RuleGenerator
from .settings import TextSettings


def make_generator(settings: TextSettings, rules: Rules) -> TextGenerator:
    """Return a generator for the API at ``text.url``, or one that follows rules without a URL.

    Args:
        settings: the ``text`` section.
        rules: the rules by purpose, for the case without a URL.

    Raises:
        ConfigError: there is a URL and no model.
    """
    if not settings.url:
        return RuleGenerator(rules)
    if not settings.model:
        raise ConfigError("text.model must be set together with text.url", field="text.model")
    return OpenAIGenerator(settings)
