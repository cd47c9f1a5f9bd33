"""Levels by area, and the variable DEBUG."""

from pathlib import Path

import pytest

import streamd
from streamd.logs.levels import AREAS, PACKAGES, debugged_areas, is_levels, parse_levels


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("info", {"*": "info"}),
        ("*=error", {"*": "error"}),
        ("connections=debug,*=info", {"connections": "debug", "*": "info"}),
        (" connections = debug , warning ", {"connections": "debug", "*": "warning"}),
        ("tasks=error", {"tasks": "error", "*": "info"}),
        ("libraries=debug,http=warning", {"libraries": "debug", "http": "warning", "*": "info"}),
    ],
)
def test_levels_are_given_for_all_areas_or_by_area(text: str, levels: dict[str, str]) -> None:
    assert parse_levels(text) == levels
    assert is_levels(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("loud", "'loud'"),
        ("INFO", "'INFO'"),
        ("connections=", "''"),
        ("conections=debug", "'conections'"),
        ("=debug", "''"),
        ("connections=debug,", "''"),
        ("tasks=debug,tasks=info", "'tasks'"),
        ("info,*=debug", "'*'"),
    ],
)
def test_invalid_levels_are_refused_with_the_part_that_is_wrong(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=r"area|level") as refused:
        parse_levels(text)
    assert named in str(refused.value)
    assert not is_levels(text)


def test_every_module_that_logs_lies_in_an_area() -> None:
    root = Path(streamd.__file__).parent
    logging = {
        file.relative_to(root).parts[0].removesuffix(".py")
        for file in root.rglob("*.py")
        if "structlog.get_logger(" in file.read_text()
    }
    assert logging <= set(PACKAGES)
    assert set(PACKAGES) < set(AREAS)


@pytest.mark.parametrize(
    ("value", "areas"),
    [
        ("sse:*", ("connections", "transports")),
        ("sse", ("connections", "transports")),
        ("app:db,sse:hub", ("connections", "transports")),
        ("express:* sse:*", ("connections", "transports")),
        ("*", ("connections", "transports")),
        ("", ()),
        ("1", ()),
        ("assets:*", ()),
    ],
)
def test_debug_names_the_streams_as_in_node(value: str, areas: tuple[str, ...]) -> None:
    assert debugged_areas({"DEBUG": value}) == areas


def test_without_the_variable_debug_nothing_changes() -> None:
    assert debugged_areas({}) == ()
