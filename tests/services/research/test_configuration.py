"""The areas file: its datasets and areas, and mistakes named by file and key."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from streamd.app import create_app
from streamd.config import RetrySettings, content_file
from streamd.errors import ConfigError
from streamd.services.research.configuration import load_areas
from streamd.services.research.endpoints import HttpSource
from streamd.services.research.files import FileSource
from streamd.services.research.reader import FunctionSource
from streamd.services.research.settings import ResearchSettings
from streamd.services.research.shapes import ResearchProfile
from streamd.services.research.sources import Area
from streamd.settings import Settings

PROFILE = """
[datasets.profile]
shape = "profile"
file = "companies.json"
entry = ["companies", "{company_id}"]
"""
AREA = """
[areas.overview]
datasets = ["profile"]
"""


def load(folder: Path, text: str, environ: dict[str, str] | None = None, **settings: Any) -> dict[str, Area]:
    (folder / "companies.json").write_text('{"companies": {}}')
    file = folder / "areas.toml"
    file.write_text(text)
    return load_areas(file, ResearchSettings(**settings), environ or {})


def test_default_file_has_thirteen_areas_that_need_no_network() -> None:
    areas = load_areas(content_file("research.toml"), ResearchSettings(), {})
    assert len(areas) == 13
    assert "decision_makers" in areas
    for area in areas.values():
        assert area.title
        assert area.datasets
        for dataset in area.datasets:
            assert not isinstance(dataset.source, HttpSource), "the defaults must work without a network"
            assert dataset.shape is not None


def test_datasets_default_to_the_settings(tmp_path: Path) -> None:
    text = f"""{PROFILE}
[datasets.register]
url = "https://register.example/{{company_id}}"
entry = ["data"]
headers = {{ Accept-Language = "en" }}
headers_from_env = {{ Authorization = "REGISTER_KEY" }}
[datasets.own]
title = "Own bounds"
url = "https://register.example/own?for={{user_company}}"
timeout_seconds = 2
attempts = 1
retry_seconds = 0.25
max_bytes = 77
[datasets.peers]
function = "peers_in_industry"
shape = "peers"
uses = ["profile"]
timeout_seconds = 3.5
[areas.overview]
title = "All of it"
datasets = ["profile", "register", "own", "peers"]
"""
    settings = {"dataset_timeout_seconds": 9.0, "retry": RetrySettings(attempts=7), "max_dataset_bytes": 99}
    area = load(tmp_path, text, {"REGISTER_KEY": "Bearer 1"}, **settings)["overview"]
    profile, register, own, peers = area.datasets
    assert (area.id, area.title) == ("overview", "All of it")
    assert isinstance(profile.source, FileSource)
    assert (profile.title, profile.shape, profile.max_bytes) == ("profile", ResearchProfile, 99)
    assert profile.source.timeout_seconds == 9.0
    assert isinstance(register.source, HttpSource)
    assert register.source.headers == {"Accept-Language": "en", "Authorization": "Bearer 1"}
    assert (register.source.timeout_seconds, register.source.attempts) == (9.0, 7)
    assert register.source.origin == "register.example"
    assert "register.example" not in register.source.label
    assert isinstance(own.source, HttpSource)
    assert (own.source.timeout_seconds, own.source.attempts, own.source.retry_seconds) == (2, 1, 0.25)
    assert (own.title, own.max_bytes) == ("Own bounds", 77)
    assert isinstance(peers.source, FunctionSource)
    assert peers.source.uses == (profile,)
    assert peers.source.timeout_seconds == 3.5


MISTAKES = [
    # unknown keys
    ("[dataset.x]\n", "dataset: there is no such key"),
    ('top = 1\n[datasets.x]\nfile = "companies.json"\n', "top: there is no such key"),
    (
        '[datasets.x]\nfiel = "companies.json"\n',
        "datasets.x.fiel: there is no such key here; there are title",
    ),
    (
        '[areas.x]\ndatasets = ["profile"]\ncolour = 1\n',
        "areas.x.colour: there is no such key here; there are datasets, title",
    ),
    # sources
    (
        '[datasets.x]\ntitle = "X"\n',
        "datasets.x: a dataset has exactly one of file, url, function; it has none",
    ),
    ('[datasets.x]\nfile = "companies.json"\nurl = "https://h/"\n', "datasets.x: .* it has file and url"),
    ('[datasets.x]\nfile = "companies.json"\nfunction = "hiring_trend"\n', "it has file and function"),
    ('[datasets.x]\nfile = ""\n', "datasets.x.file: Expected `str` of length >= 1"),
    (
        '[datasets.x]\nfile = "companies.json"\nattempts = 2\n',
        "datasets.x.attempts: there is no such key here",
    ),
    ('[datasets.x]\nurl = "https://h/"\nuses = ["profile"]\n', "datasets.x.uses: there is no such key here"),
    (
        '[datasets.x]\nfunction = "hiring_trend"\nentry = ["a"]\n',
        "datasets.x.entry: there is no such key here",
    ),
    # types and bounds
    ("[datasets.x]\nfile = 3\n", "datasets.x.file: Expected `str`"),
    ("datasets = 3\n", "datasets: write .datasets.NAME. above its keys"),
    ("[datasets]\nx = 3\n", "datasets.x: Expected"),
    (
        '[datasets.x]\nfile = "companies.json"\nmax_bytes = 0\n',
        "datasets.x.max_bytes: Expected `int` >= 1",
    ),
    ('[datasets.x]\nurl = "https://h/"\nattempts = 101\n', "datasets.x.attempts: Expected `int` <= 100"),
    (
        '[datasets.x]\nurl = "https://h/"\ntimeout_seconds = nan\n',
        "datasets.x.timeout_seconds: Expected `float` > 0",
    ),
    (
        '[datasets.x]\nurl = "https://h/"\nretry_seconds = inf\n',
        "datasets.x.retry_seconds: Expected `float` <= 86400",
    ),
    (
        '[datasets.x]\nfile = "companies.json"\nshape = "pers"\n',
        "datasets.x.shape: 'pers' is none of profile",
    ),
    # templates
    ('[datasets.x]\nfile = "{user_role}.json"\n', "datasets.x.file: {user_role} is no field here"),
    ('[datasets.x]\nfile = "{company_id!r}.json"\n', "datasets.x.file: {company_id!r} is no field here"),
    ('[datasets.x]\nfile = "companies.json"\nentry = ["{company}"]\n', "datasets.x.entry: {company} is no"),
    ('[datasets.x]\nurl = "https://{company_id}.example"\n', "datasets.x.url: a field may stand in the path"),
    ('[datasets.x]\nurl = "https://h/{user_role}"\n', "datasets.x.url: {user_role} is no field here"),
    ('[datasets.x]\nurl = "file:///etc/passwd"\n', "datasets.x.url: write a URL with http"),
    # files
    ('[datasets.x]\nfile = "missing.json"\n', "datasets.x.file: there is no file missing.json"),
    ('[datasets.x]\nfile = "../x.json"\n', "datasets.x.file: the path must be relative"),
    ('[datasets.x]\nfile = "/etc/passwd"\n', "datasets.x.file: the path must be relative"),
    (f'[datasets.x]\nfile = "{"x" * 300}"\n', "datasets.x.file: x+ cannot be read: File name too long"),
    # headers
    (
        '[datasets.x]\nurl = "https://h/"\nheaders_from_env = { Authorization = "NO_KEY" }\n',
        "datasets.x.headers_from_env.Authorization: the environment has no variable NO_KEY",
    ),
    ('[datasets.x]\nurl = "https://h/"\nheaders = { "a b" = "x" }\n', "datasets.x.headers.a b: a header has"),
    (
        '[datasets.x]\nurl = "https://h/"\nheaders = { a = "x\\r\\ny: z" }\n',
        "datasets.x.headers.a: a header has",
    ),
    # functions
    ('[datasets.x]\nfunction = "no_such"\n', "datasets.x.function: 'no_such' is not registered; there are"),
    (
        '[datasets.x]\nfunction = "hiring_trend"\nuses = ["nope"]\n',
        "datasets.x.uses: there is no dataset 'nope' with a file",
    ),
    (
        '[datasets.x]\nfunction = "hiring_trend"\nuses = ["profile"]\n',
        "datasets.x.uses: hiring_trend needs a dataset with the shape hiring",
    ),
    # areas
    ('[areas.x]\ndatasets = ["nope"]\n', "areas.x.datasets: there is no dataset 'nope'"),
    ("[areas.x]\ndatasets = []\n", "areas.x.datasets: name at least one"),
    ('[areas.x]\ntitle = "X"\n', "areas.x.datasets: this key is required"),
    ('[areas.x]\ndatasets = ["profile", "profile"]\n', "areas.x.datasets: a dataset is named twice"),
    (
        '[datasets.y]\nfile = "companies.json"\nshape = "profile"\n[areas.x]\ndatasets = ["profile", "y"]\n',
        "areas.x.datasets: two of them have the same shape",
    ),
    ('[areas."No Good"]\ndatasets = ["profile"]\n', "areas.No Good: a name consists of"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[message[:60] for _, message in MISTAKES])
def test_mistakes_are_named_by_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "companies.json").write_text("{}")
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text + PROFILE + AREA if not text.startswith("datasets =") else text + AREA)
    first = caught.value.detail.splitlines()[0]
    assert first.startswith(f"research.areas_file: {tmp_path / 'areas.toml'}: ")
    assert caught.value.field == "research.areas_file"


def test_a_loop_of_links_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match=r"datasets.x.file: loop/\{company_id\} cannot be read"):
        load(tmp_path, '[datasets.x]\nfile = "loop/{company_id}"\n' + PROFILE + AREA)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = '[datasets.a]\nfile = "no.json"\n[datasets.b]\nurl = "no"\n[areas.c]\ndatasets = ["a", "d"]\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    keys = [line.split(": ")[2] for line in caught.value.detail.splitlines()]
    assert keys == ["datasets.a.file", "datasets.b.url", "areas.c.datasets"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"[x", "not valid TOML"),
        (b"\xff", "not UTF-8"),
        (b"", "areas: there is none"),
    ],
)
def test_unusable_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "areas.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_areas(file, ResearchSettings(), {})
    assert str(file) in caught.value.detail


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "linked.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ConfigError, match=r"datasets.x.file: the path leads out"):
        load(folder, '[datasets.x]\nfile = "linked.json"\n' + PROFILE + AREA)


def test_invalid_header_value_is_not_shown(tmp_path: Path) -> None:
    text = '[datasets.x]\nurl = "https://h/"\nheaders_from_env = { Authorization = "KEY" }\n' + PROFILE + AREA
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, {"KEY": "secret\nvalue"})
    assert "secret" not in caught.value.detail


def test_server_does_not_start_with_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "areas.toml"
    file.write_text("[areas.x]\ndatasets = ['nope']\n")
    settings = attrs.evolve(Settings(), research=ResearchSettings(areas_file=str(file)))
    with pytest.raises(ConfigError, match=r"areas.toml: areas.x.datasets"):
        create_app(settings)
