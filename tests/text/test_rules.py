"""The embedded generator: all pieces in order and without delay; and the choice of a generator."""

from collections.abc import Mapping
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import SettingsError, load
from streamd.errors import ConfigError
from streamd.settings import Settings
from streamd.text import Prompt, RuleGenerator, generate_text, make_generator
from streamd.text.rules import split_pieces
from streamd.text.settings import TextSettings

RULES = {"greeting": lambda facts: f"Good day, {facts['name']}. How are you?\n\nYours: streamd."}


def prompt(name: str = "Ada") -> Prompt:
    return Prompt(purpose="greeting", system="greet", user="Ada", facts={"name": name})


@given(st.text())
def test_the_joined_pieces_are_the_text_and_none_is_empty(text: str) -> None:
    pieces = split_pieces(text)
    assert "".join(pieces) == text
    assert all(pieces)


def test_pieces_are_sentences_clauses_and_lines() -> None:
    assert split_pieces("One. Two: three!\n\n- 1.5 or 2,000.75 each\n- four") == [
        "One. ",
        "Two: ",
        "three!\n\n",
        "- 1.5 or 2,000.75 each\n",
        "- four",
    ]


def test_splitting_takes_linear_time() -> None:
    assert len(split_pieces("no end " * 100_000)) == 1
    assert len(split_pieces("." * 500_000)) == 1


async def test_a_rule_composes_from_the_facts(autojump_clock: trio.testing.MockClock) -> None:
    generator = make_generator(TextSettings(), RULES)
    assert generator.name == "rules"
    began = trio.current_time()
    assert await generate_text(generator, prompt()) == "Good day, Ada. How are you?\n\nYours: streamd."
    assert trio.current_time() == began


async def test_other_trio_tasks_run_between_pieces() -> None:
    def long(_: Mapping[str, Any]) -> str:
        return "Word. " * 1000

    generator = RuleGenerator({"greeting": long})
    async with generator.generate(prompt()) as pieces:
        await anext(pieces)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            async for _ in pieces:
                pass
            nursery.cancel_scope.cancel()
    assert turns > 100


async def test_cancelling_between_pieces_ends_the_text() -> None:
    with trio.CancelScope() as scope:
        async with RuleGenerator(RULES).generate(prompt()) as pieces:
            await anext(pieces)
            scope.cancel()
            await anext(pieces)
    assert scope.cancelled_caught


async def test_a_purpose_without_a_rule_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="farewell"):
        await generate_text(RuleGenerator(RULES), Prompt(purpose="farewell", system="", user=""))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"url": "https://api.example/v1"}, "text.model"),
        ({"url": "ftp://api.example", "model": "m"}, "text.url"),
        ({"url": "api.example/v1", "model": "m"}, "text.url"),
        ({"url": "http://api.example:port/v1", "model": "m"}, "text.url"),
        ({"url": "https://user:pass@api.example/v1", "model": "m"}, "text.url"),
        ({"url": "https://api.example/v1", "model": "m", "api_key": "sk-12\n34"}, "text.api_key"),
        ({"url": "https://api.example/v1", "model": "m", "api_key": "sk-12 34"}, "text.api_key"),
        ({"url": "https://api.example/v1", "model": "m", "api_key": "sk-12ü34"}, "text.api_key"),
    ],
)
def test_invalid_settings_name_their_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Settings, environ={}, overrides={f"text.{name}": value for name, value in settings.items()})
    assert caught.value.field in (field, "text.url")
    assert field in caught.value.detail
    assert "sk-" not in caught.value.detail
    with pytest.raises((ConfigError, ValueError)) as caught_early:
        make_generator(TextSettings(**settings), RULES)
    assert "sk-" not in str(caught_early.value)


def test_a_url_and_a_model_select_the_api() -> None:
    generator = make_generator(TextSettings(url="https://api.example/v1/", model="tiny-1"), RULES)
    assert generator.name == "tiny-1"
