"""The settings as text: the reference file, and the settings in effect."""

import json
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

import attrs

from .convert import to_toml
from .fields import MASK, TUNING, Setting, settings_of, table_settings, table_values, value_at
from .load import Loaded

_WIDTH: Final = 100  # of comment lines (characters)
_EXAMPLE: Final = "#     "  # before each line of an example

_HEAD: Final = """\
# streamd: every setting, with its unit and its default.
#
# This file is the reference, and is generated: `streamd config reference`. Copy it, remove the `#`
# directly before a setting to change it, and start with `streamd serve --config FILE` or with
# STREAMD_CONFIG=FILE in the environment. `streamd config check` checks the result.
#
# An environment variable STREAMD_SECTION__NAME overrides the file: STREAMD_SERVER__BIND sets
# server.bind, STREAMD_RESEARCH__STREAM__HEARTBEAT_SECONDS sets research.stream.heartbeat_seconds.
# A list may be written there with commas, a list of tables as [{NAME = VALUE, ...}, ...]. Command
# line flags override both.
# An unknown setting, a wrong type or an impossible combination stops the start. SIGHUP reads the file
# again: settings that say so take effect at once, the log names the others that have changed.
"""
_TUNING_HEAD: Final = """\
# ---------------------------------------------------------------------------------------------------
# Tuning. Most installations never change anything below. These settings trade memory for speed, or
# reject requests that only a defective or hostile client makes. Measure before and after a change.
# ---------------------------------------------------------------------------------------------------
"""


def reference_text(root: type) -> str:
    """Return the text of ``conf/streamd.toml``: help, bounds and default of every setting below ``root``."""
    titles = _titles(root)
    parts = [_HEAD]
    in_tuning = False
    for table, settings in groupby(settings_of(root).values(), key=lambda each: each.table):
        if table.startswith(f"{TUNING}.") and not in_tuning:
            in_tuning = True
            parts.append(f"\n\n{_TUNING_HEAD}")
        title = titles.get(table.removeprefix(f"{TUNING}."), "")
        parts.append(f"\n\n{_commented(title)}\n[{table}]\n")
        parts += [_entry(setting) for setting in settings]
    return "".join(parts)


def _titles(root: type) -> dict[str, str]:
    """Return the docstring of every section and group class, by attribute path."""
    found: dict[str, str] = {}

    def add(cls: type, prefix: str) -> None:
        for field in attrs.fields(cls):
            if field.type is not None and attrs.has(field.type):
                found[prefix + field.name] = field.type.__doc__ or ""
                add(field.type, f"{prefix}{field.name}.")

    add(root, "")
    return found


def _entry(setting: Setting) -> str:
    """Format a setting's help, and the setting itself behind a ``#`` without a space."""
    return (
        f"\n{_commented(_help(setting))}\n{_example(setting)}#{setting.name} = {to_toml(setting.default)}\n"
    )


def _help(setting: Setting) -> str:
    bounds = "; ".join(check.says for check in setting.checks)
    text = f"{setting.help} Must be {bounds}." if bounds else setting.help
    if setting.default is attrs.NOTHING:
        text += " Required."
    if setting.reload:
        text += " SIGHUP reloads it."
    return text + " Example:" if setting.example else text


def _example(setting: Setting) -> str:
    """Format the example of a list of tables, with the help of each setting in them."""
    lines = []
    for table in setting.example or ():
        cls: type = type(table)
        lines.append(f"{_EXAMPLE}[[{setting.path}]]\n")
        for name, value in table_values(table).items():
            lines.append(f"{_commented(_help(table_settings(cls)[name]), f'{_EXAMPLE}# ')}\n")
            lines.append(f"{_EXAMPLE}{name} = {to_toml(value)}\n")
    return "".join(lines)


def _commented(text: str, indent: str = "# ") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def effective_toml(loaded: Loaded[Any]) -> str:
    """Return the settings in effect as TOML, secrets masked; a comment names the source of each value."""
    parts = []
    for table, shown in groupby(_masked(loaded.settings), key=lambda each: each[0].table):
        lines = [f"[{table}]"]
        for setting, value in shown:
            origin = loaded.origins.get(setting.path)
            lines.append(f"{setting.name} = {to_toml(value)}" + (f"  # {origin}" if origin else ""))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def effective_json(loaded: Loaded[Any]) -> str:
    """Return ``{"settings": {section: {name: value}}, "origins": {path: text}}`` as JSON, secrets masked."""
    tree: dict[str, Any] = {}
    for setting, value in _masked(loaded.settings):
        table = tree
        for part in setting.table.split("."):
            table = table.setdefault(part, {})
        table[setting.name] = value
    return (
        json.dumps({"settings": tree, "origins": dict(loaded.origins)}, indent=2, ensure_ascii=False) + "\n"
    )


def _masked(settings: attrs.AttrsInstance) -> Iterator[tuple[Setting, Any]]:
    """Yield every setting with its value; secrets are masked."""
    for setting in settings_of(type(settings)).values():
        value = value_at(settings, setting.attribute)
        yield setting, _hidden(value) if setting.secret else _without_password(value)


def _hidden(value: object) -> object:
    return MASK if value else value  # an empty secret is none, and worth seeing


def _without_password(value: Any) -> Any:
    """Mask the password of every URL, also in settings that are not declared secret; tables become dicts."""
    if isinstance(value, list):
        return [_without_password(item) for item in value]
    if attrs.has(type(value)):
        return {name: _without_password(item) for name, item in table_values(value).items()}
    if isinstance(value, str):
        return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", rf"\1:{MASK}@", value)
    return value
