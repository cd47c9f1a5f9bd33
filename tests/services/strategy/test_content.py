"""The educational content: its default file, another file, and the validation of both."""

from pathlib import Path

import pytest

from streamd.errors import ConfigError
from streamd.services.strategy.catalogue import SECTIONS
from streamd.services.strategy.content import load_content


def test_default_content_has_a_piece_between_any_two_steps() -> None:
    content = load_content()
    assert [name for name in content if content[name]] == [section.name for section in SECTIONS[:-1]]


GOOD = '[[content]]\nafter = "analysis"\ntitle = "T"\ntext = " Read. "\n'


def test_content_is_read_from_another_file(tmp_path: Path) -> None:
    file = tmp_path / "content.toml"
    file.write_text(GOOD * 2)
    piece = {"after": "analysis", "title": "T", "text": "Read."}
    assert load_content(str(file))["analysis"] == [piece, piece]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("content = [", "end of document"),
        ("contents = []", "contents"),
        (GOOD.replace("analysis", "measures"), "content[0].after must be one of analysis"),
        (GOOD + GOOD.replace('"T"', '" "'), "content[1].title must not be empty"),
        (GOOD.replace("Read.", "x" * 4001), "content[0].text may have at most 4000"),
        (GOOD.replace("title", "titel"), "titel"),
    ],
)
def test_invalid_content_names_the_file_and_the_key(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "content.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_content(str(file))
    assert complaint in caught.value.detail
    assert caught.value.field == "strategy.content_file"


def test_missing_content_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_content(str(tmp_path / "none.toml"))
