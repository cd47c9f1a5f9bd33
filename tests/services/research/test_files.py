"""Datasets in files: nothing leads out of the folder, not even an id that was not validated."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.research.files import FileSource, select, static_folder
from streamd.services.research.sources import NothingKnown, SourceFailed, decode_json
from streamd.services.research.templates import IDS, Template
from tests.support.json_texts import nested
from tests.support.research_rig import TRAVERSALS, query_of

ACME = query_of("acme")


def file_source(folder: Path, path: str, *entry: str) -> FileSource:
    return FileSource(
        "Data", folder, Template.parse(path, IDS), tuple(Template.parse(text, IDS) for text in entry)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of data, next to a file that must never be read."""
    (tmp_path / "secret.json").write_text('{"secret": true}')
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "acme.json").write_text('{"name": "Acme"}')
    return folder


async def test_file_is_read(folder: Path) -> None:
    assert await file_source(folder, "{company_id}.json").read(ACME, 1000) == {"name": "Acme"}


@pytest.mark.parametrize(
    "path", ["{company_id}.json", "{company_id}", "{company_id}/secret.json", "x{company_id}"]
)
@pytest.mark.parametrize("company_id", [*TRAVERSALS, "../secret.json", "../data/../secret"])
async def test_path_traversal_is_impossible(folder: Path, path: str, company_id: str) -> None:
    with pytest.raises(SourceFailed):
        await file_source(folder, path).read(query_of(company_id), 1000)


@given(st.text(max_size=40) | st.lists(st.sampled_from(["..", "/", "a", ".", "\0", "~"])).map("".join))
def test_every_path_is_inside_the_folder_or_refused(company_id: str) -> None:
    folder = Path("/srv/data")
    try:
        path = file_source(folder, "{company_id}.json").locate(query_of(company_id))
    except SourceFailed:
        return
    assert path.is_relative_to(folder)


async def test_links_out_of_the_folder_are_refused(folder: Path) -> None:
    (folder / "linked.json").symlink_to(folder.parent / "secret.json")
    (folder / "up").symlink_to(folder.parent)
    (folder / "loop.json").symlink_to(folder / "loop.json")
    (folder / "inside.json").symlink_to(folder / "acme.json")
    source = file_source(folder, "{company_id}.json")
    with pytest.raises(SourceFailed, match="leads out of the folder"):
        await source.read(query_of("linked"), 1000)
    with pytest.raises(SourceFailed, match="leads out of the folder"):
        await file_source(folder, "{company_id}/secret.json").read(query_of("up"), 1000)
    with pytest.raises(SourceFailed):
        await source.read(query_of("loop"), 1000)
    assert await source.read(query_of("inside"), 1000) == {"name": "Acme"}


async def test_missing_files(folder: Path) -> None:
    with pytest.raises(NothingKnown, match="nothing is known about other"):
        await file_source(folder, "{company_id}.json").read(query_of("other"), 1000)
    with pytest.raises(SourceFailed, match=r"the file of 'Data' is missing"):
        await file_source(folder, "fixed.json").read(ACME, 1000)


async def test_size_limit_is_exact(folder: Path) -> None:
    source = file_source(folder, "{company_id}.json")
    size = (folder / "acme.json").stat().st_size
    assert await source.read(ACME, size) == {"name": "Acme"}
    with pytest.raises(SourceFailed, match=f"larger than {size - 1} bytes"):
        await source.read(ACME, size - 1)


async def test_irregular_files_are_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    source = file_source(folder, "{company_id}.json")
    with pytest.raises(SourceFailed, match="not in a regular file"):
        await source.read(query_of("pipe"), 1000)
    with pytest.raises(SourceFailed, match=r"cannot be read|regular file"):
        await source.read(query_of("folder"), 1000)
    with pytest.raises(SourceFailed, match="cannot be read") as caught:
        await source.read(query_of("x" * 300), 1000)
    assert "File name too long" in str(caught.value.__cause__)  # for the log


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file x is empty"),
        (b"{", "the file x is not valid JSON: it ends too early"),
        (b"\xff", "the file x is not valid UTF-8"),
        (nested(65), "the file x is nested deeper than 64 levels"),
        (b'{"a": 1, "a": 2}', 'the file x is not usable: the file x has two members named "a"'),
    ],
)
def test_invalid_json_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(SourceFailed, match=says):
        decode_json(content, "the file x")


# --- entries of a document ----------------------------------------------------------------------

DOCUMENT = {"companies": {"acme": {"name": "Acme"}, "none": None}, "list": [1]}


def test_entry_of_a_document_is_selected() -> None:
    source = file_source(Path(), "x", "companies", "{company_id}")
    assert select(DOCUMENT, source.entry, ACME) == {"name": "Acme"}
    assert select(DOCUMENT, (), ACME) is DOCUMENT
    for unknown in ("other", "none"):
        with pytest.raises(NothingKnown):
            select(DOCUMENT, source.entry, query_of(unknown))
    with pytest.raises(NothingKnown):
        select(None, (), ACME)


@pytest.mark.parametrize("entry", [("firms", "{company_id}"), ("list", "0")])
def test_document_without_the_entry_is_refused(entry: tuple[str, ...]) -> None:
    with pytest.raises(SourceFailed, match="the data has no member") as caught:
        select(DOCUMENT, file_source(Path(), "x", *entry).entry, ACME)
    assert not isinstance(caught.value, NothingKnown)


def test_folder_is_the_part_of_the_path_without_fields() -> None:
    base = Path("/conf")
    assert static_folder(base, Template.parse("a/b/{company_id}/c.json", IDS))[0] == Path("/conf/a/b")
    folder, path = static_folder(base, Template.parse("a/b.json", IDS))
    assert (folder, path.text) == (Path("/conf/a"), "b.json")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.json", "a/../../x.json", "a/{company_id}/../x.json"])
def test_configured_paths_stay_in_the_folder(path: str) -> None:
    with pytest.raises(ValueError, match="must not lead out"):
        static_folder(Path("/conf"), Template.parse(path, IDS))
