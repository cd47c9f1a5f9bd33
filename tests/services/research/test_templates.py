"""Templates and files: what may be filled in, and that nothing filled in leads anywhere else."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.research.files import decode, locate, read_file, select, static_folder
from streamd.services.research.sources import FileSource, NothingKnown, SourceFailed
from streamd.services.research.templates import COMPANY_ID, FIELDS, IDS, Query, Template, UrlTemplate
from tests.support.research_rig import TRAVERSALS

ACME = Query("risk", "acme")


def file_source(folder: Path, path: str, *entry: str) -> FileSource:
    return FileSource(folder, Template.parse(path, IDS), tuple(Template.parse(text, IDS) for text in entry))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of data, with a file outside that must never be read."""
    (tmp_path / "secret.json").write_text('{"secret": true}')
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "acme.json").write_text('{"name": "Acme"}')
    return folder


# --- templates ----------------------------------------------------------------------------------


def test_fields_are_filled_and_braces_kept() -> None:
    template = Template.parse("{{x}}/{company_id}/{area_id}", IDS)
    assert template.fill(ACME) == "{x}/acme/risk"
    assert template.fields == {"company_id", "area_id"}


@pytest.mark.parametrize(
    "text",
    [
        "{user_role}",
        "{}",
        "{0}",
        "{company_id.__class__}",
        "{company_id[0]}",
        "{company_id!r}",
        "{company_id:>9}",
    ],
)
def test_other_fields_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no field here; there are \{area_id\}, \{company_id\}"):
        Template.parse(text, IDS)


@pytest.mark.parametrize("text", ["{company_id", "company_id}", "{"])
def test_single_braces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|encountered|expected"):
        Template.parse(text, FIELDS)


def test_a_value_with_braces_is_not_filled_again() -> None:
    query = Query("risk", "acme", user_role="{company_id}")
    assert Template.parse("{user_role}", FIELDS).fill(query) == "{company_id}"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "http:// or https://"),
        ("/only/a/path", "http:// or https://"),
        ("https:///x", "a host"),
        ("https://{company_id}.example/x", "not in the host"),
        ("https://host:{company_id}/x", "not in the host|[Pp]ort"),
        ("{company_id}://host/x", "http:// or https://"),
        ("https://host/{user_company}", "is no field here"),
        ("https://host/{user_role}/x", "is no field here"),
        ("https://user:secret@host/x", "headers_from_env"),
        ("https://host/x#{company_id}", "fragment"),
        ("https://host:99999/x", "[Pp]ort"),
        ("https://host/{nothing}", "is no field here"),
    ],
)
def test_urls_that_lead_elsewhere_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UrlTemplate.parse(url)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_no_role_or_company_changes_a_url(role: str, company: str) -> None:
    url = UrlTemplate.parse("https://host/v1/{company_id}?role={user_role}&of={user_company}&end=1")
    filled = url.fill(Query("risk", "acme", role, company))
    assert filled.startswith("https://host/v1/acme?role=")
    assert filled.endswith("&end=1")
    assert (filled.count("/"), filled.count("&"), filled.count("?"), filled.count("#")) == (4, 2, 1, 0)
    assert filled.isascii()


@pytest.mark.parametrize("text", TRAVERSALS)
def test_a_company_id_is_no_path(text: str) -> None:
    assert not COMPANY_ID.fullmatch(text)


@pytest.mark.parametrize("text", ["acme", "ACME-1", "a.b_c", "0", "a..b", "5f0c"])
def test_company_ids(text: str) -> None:
    assert COMPANY_ID.fullmatch(text)


# --- files: nothing leads out of the folder, even if the id had not been checked ------------------


async def test_a_file_is_read(folder: Path) -> None:
    assert await read_file(file_source(folder, "{company_id}.json"), ACME, 1000) == {"name": "Acme"}


@pytest.mark.parametrize(
    "path", ["{company_id}.json", "{company_id}", "{company_id}/secret.json", "x{company_id}"]
)
@pytest.mark.parametrize("company_id", [*TRAVERSALS, "../secret.json", "../data/../secret"])
async def test_traversal_is_impossible(folder: Path, path: str, company_id: str) -> None:
    with pytest.raises(SourceFailed):
        await read_file(file_source(folder, path), Query("risk", company_id), 1000)


@given(st.text(max_size=40) | st.lists(st.sampled_from(["..", "/", "a", ".", "\0", "~"])).map("".join))
def test_every_path_is_inside_or_refused(company_id: str) -> None:
    folder = Path("/srv/data")
    try:
        path = locate(file_source(folder, "{company_id}.json"), Query("risk", company_id))
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
        await read_file(source, Query("risk", "linked"), 1000)
    with pytest.raises(SourceFailed, match="leads out of the folder"):
        await read_file(file_source(folder, "{company_id}/secret.json"), Query("risk", "up"), 1000)
    with pytest.raises(SourceFailed):
        await read_file(source, Query("risk", "loop"), 1000)
    assert await read_file(source, Query("risk", "inside"), 1000) == {"name": "Acme"}


async def test_files_that_are_missing(folder: Path) -> None:
    with pytest.raises(NothingKnown, match="nothing is known about other"):
        await read_file(file_source(folder, "{company_id}.json"), Query("risk", "other"), 1000)
    with pytest.raises(SourceFailed, match=r"the file data/fixed.json is missing"):
        await read_file(file_source(folder, "fixed.json"), ACME, 1000)


async def test_size_is_bounded_to_the_byte(folder: Path) -> None:
    source = file_source(folder, "{company_id}.json")
    size = (folder / "acme.json").stat().st_size
    assert await read_file(source, ACME, size) == {"name": "Acme"}
    with pytest.raises(SourceFailed, match=f"larger than {size - 1} bytes"):
        await read_file(source, ACME, size - 1)


async def test_what_is_no_file_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    source = file_source(folder, "{company_id}.json")
    with pytest.raises(SourceFailed, match="is none"):
        await read_file(source, Query("risk", "pipe"), 1000)
    with pytest.raises(SourceFailed, match=r"Is a directory|is none"):
        await read_file(source, Query("risk", "folder"), 1000)
    with pytest.raises(SourceFailed, match="File name too long"):
        await read_file(source, Query("risk", "x" * 300), 1000)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(SourceFailed, match="the file x is not JSON"):
        decode(content, "the file x")


# --- going into a document ----------------------------------------------------------------------

DOCUMENT = {"companies": {"acme": {"name": "Acme"}, "none": None}, "list": [1]}


def test_entries() -> None:
    source = file_source(Path(), "x", "companies", "{company_id}")
    assert select(DOCUMENT, source.entry, ACME) == {"name": "Acme"}
    assert select(DOCUMENT, (), ACME) is DOCUMENT
    for unknown in ("other", "none"):
        with pytest.raises(NothingKnown):
            select(DOCUMENT, source.entry, Query("risk", unknown))
    with pytest.raises(NothingKnown):
        select(None, (), ACME)


@pytest.mark.parametrize("entry", [("firms", "{company_id}"), ("list", "0")])
def test_data_that_is_built_otherwise(entry: tuple[str, ...]) -> None:
    with pytest.raises(SourceFailed, match="the data has no member") as caught:
        select(DOCUMENT, file_source(Path(), "x", *entry).entry, ACME)
    assert not isinstance(caught.value, NothingKnown)


def test_the_folder_is_the_part_without_fields() -> None:
    base = Path("/conf")
    assert static_folder(base, Template.parse("a/b/{company_id}/c.json", IDS))[0] == Path("/conf/a/b")
    folder, path = static_folder(base, Template.parse("a/b.json", IDS))
    assert (folder, path.text) == (Path("/conf/a"), "b.json")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.json", "a/../../x.json", "a/{company_id}/../x.json"])
def test_paths_of_the_configuration_stay_in_its_folder(path: str) -> None:
    with pytest.raises(ValueError, match="must not lead out"):
        static_folder(Path("/conf"), Template.parse(path, IDS))
