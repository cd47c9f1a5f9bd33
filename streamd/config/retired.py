"""Settings of earlier releases: where each is now, or the reason it was removed.

A setting that moved to ``[tuning]`` or into a group of its section is found by its name. A section names the
others itself: ``renamed`` has old names with the attribute paths of today, ``removed`` old names with the
reason. Both are class variables.
"""

from collections.abc import Iterator, Mapping
from functools import cache

import attrs

from .fields import Setting, settings_of


@cache
def renamed_in(root: type) -> Mapping[str, Setting]:
    """Return the settings below ``root`` that had another path, by that path."""
    current = {each.attribute: each for each in settings_of(root).values()}
    found = {}
    for name, section in _sections(root):
        for old, new in getattr(section, "renamed", {}).items():
            found[f"{name}.{old}"] = current[f"{name}.{new}"]
    return found


@cache
def removed_from(root: type) -> Mapping[str, str]:
    """Return the reason for every setting that ``root`` has no more, by its old path."""
    return {
        f"{name}.{old}": reason
        for name, section in _sections(root)
        for old, reason in getattr(section, "removed", {}).items()
    }


def successor(root: type, path: str) -> Setting | None:
    """Return the setting that an old path ``section.name`` stands for today; None if there is none."""
    if (renamed := renamed_in(root).get(path)) is not None:
        return renamed
    if path.count(".") != 1 or path in settings_of(root):
        return None
    section, _, name = path.partition(".")
    found = [each for each in settings_of(root).values() if (each.section, each.name) == (section, name)]
    return found[0] if len(found) == 1 else None


def _sections(root: type) -> Iterator[tuple[str, type]]:
    for field in attrs.fields(root):
        assert field.type is not None
        yield field.name, field.type
