"""The wheel and the source distribution: the browser client is in both, its tools in neither."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIENT = "streamd/web/client"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_the_wheel_has_the_built_client_alone(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("streamd/web/")}
        dist = ROOT / CLIENT / "dist"
        files = {path.relative_to(ROOT).as_posix() for path in dist.rglob("*") if path.is_file()}
        assert names == files
        assert f"{CLIENT}/dist/streamd.js" in names


def test_the_server_of_the_wheel_serves_the_client(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import streamd, streamd.app; print(streamd.__file__);"
        "print(*(rule.rule for rule in streamd.app.create_app().url_map.iter_rules()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    place, rules = done.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path)
    assert "/client/streamd.js" in rules.split()


def test_the_source_distribution_can_build_and_test_the_client(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        f"{CLIENT}/build.mjs",
        f"{CLIENT}/package-lock.json",
        f"{CLIENT}/src/index.ts",
        f"{CLIENT}/tests/backoff.test.ts",
        f"{CLIENT}/dist/streamd.js",
        "conf/setup/node.sh",
    } <= names
    assert not any("node_modules" in name for name in names)
