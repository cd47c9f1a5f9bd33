"""Every setting is read by some code: a setting that does nothing misleads its operator."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import streamd
from streamd.config.fields import Setting, settings_of
from streamd.services import SERVICES
from streamd.settings import Settings

PACKAGE: Final = Path(streamd.__file__).parent


@cache
def reads_in(folder: Path) -> frozenset[str]:
    """Return the attributes that the code of a folder reads, alone and as ``object.attribute``.

    Declarations do not count: modules named ``settings``, and the package ``config``.
    """
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        if file.name != "settings.py" and "config" not in file.relative_to(PACKAGE).parts:
            found.update(_reads(ast.parse(file.read_text())))
    return frozenset(found)


def _reads(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
            of = node.value
            if isinstance(of, ast.Attribute | ast.Name):
                yield f"{of.attr if isinstance(of, ast.Attribute) else of.id}.{node.attr}"


def is_read(setting: Setting) -> bool:
    """Return True if code reads a setting; one of a group is read as ``group.setting``.

    The settings of a service are read in its own package, but for the one that enables it.
    """
    section, *_, name = setting.attribute.split(".")
    folder = PACKAGE / "services" / section if section in SERVICES and name != "enabled" else PACKAGE
    in_group = setting.attribute.count(".") > 1
    return (setting.attribute.partition(".")[2] if in_group else name) in reads_in(folder)


@pytest.mark.parametrize("setting", settings_of(Settings).values(), ids=lambda each: each.path)
def test_every_setting_is_read(setting: Setting) -> None:
    assert is_read(setting)


def test_a_setting_that_no_code_reads_is_found() -> None:
    for attribute in ("server.frobnicate", "research.stream.backlog", "strategy.max_mentions"):
        assert not is_read(Setting(attribute=attribute, type=int, default=0, help=""))
