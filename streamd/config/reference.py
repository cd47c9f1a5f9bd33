"""The settings as text: the reference file, and what is in effect."""

import json
import re
import textwrap
from typing import Any

import attrs

from .convert import to_toml
from .fields import Setting, settings_of
from .load import Loaded
from .settings import Settings

_WIDTH = 100
_MASK = "********"

_HEAD = """\
# streamd: every setting, with its unit and its default.
#
# This file is the reference, and is generated: `streamd config reference`. Copy it, take away the
# `#` directly before a setting to change it, and start with `streamd serve --config FILE` or with
# STREAMD_CONFIG=FILE in the environment. `streamd config check` says whether the result holds.
#
# An environment variable STREAMD_SECTION__NAME overrides the file: STREAMD_SERVER__BIND sets
# server.bind. A list may be written there with commas. Command line flags override both.
# An unknown setting, a wrong type or an impossible combination stops the start.
"""


def reference_text(root: type = Settings) -> str:
    """The text of ``conf/streamd.toml``: help, bounds and default of every setting under ``root``."""
    settings = settings_of(root)
    parts = [_HEAD]
    for section in attrs.fields(root):
        parts.append(f"\n\n{_commented(section.type.__doc__)}\n[{section.name}]\n")
        parts += [_entry(setting) for setting in settings.values() if setting.section == section.name]
    return "".join(parts)


def _entry(setting: Setting) -> str:
    """A setting's help, and the setting itself behind a ``#`` without a space."""
    bounds = "; ".join(check.says for check in setting.checks)
    text = f"{setting.help} Must be {bounds}." if bounds else setting.help
    return f"\n{_commented(text)}\n#{setting.name} = {to_toml(setting.default)}\n"


def _commented(text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def effective_toml(loaded: Loaded) -> str:
    """What is in effect, as TOML without secrets; a comment says where a value came from."""
    parts = []
    for section, values in _masked(loaded.settings).items():
        lines = [f"[{section}]"]
        for name, value in values.items():
            origin = loaded.origins.get(f"{section}.{name}")
            lines.append(f"{name} = {to_toml(value)}" + (f"  # {origin}" if origin else ""))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def effective_json(loaded: Loaded) -> str:
    """What is in effect, as JSON: ``{"settings": {section: {name: value}}, "origins": {path: text}}``."""
    shown = {"settings": _masked(loaded.settings), "origins": dict(loaded.origins)}
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"


def _masked(settings: Any) -> dict[str, dict[str, Any]]:
    """The values by section and name, with every secret hidden."""
    values: dict[str, dict[str, Any]] = {}
    for setting in settings_of(type(settings)).values():
        value = getattr(getattr(settings, setting.section), setting.name)
        shown = _hidden(value) if setting.secret else _without_password(value)
        values.setdefault(setting.section, {})[setting.name] = shown
    return values


def _hidden(value: object) -> object:
    return _MASK if value else value  # an empty secret is none, and worth seeing


def _without_password(value: Any) -> Any:
    """A URL of any setting loses its password, also where nobody thought of one."""
    if isinstance(value, list):
        return [_without_password(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", rf"\1:{_MASK}@", value)
    return value
