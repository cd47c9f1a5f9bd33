"""The built browser client, which is committed, is what its sources build."""

import json
from pathlib import Path

from tests.support.nodejs import CLIENT, DIST, run_node


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder, by their path below it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_committed_files_are_what_the_sources_build(tmp_path: Path) -> None:
    run_node("build.mjs", tmp_path / "dist")
    built, committed = contents(tmp_path / "dist"), contents(DIST)
    differing = {name for name in built.keys() | committed.keys() if built.get(name) != committed.get(name)}
    assert differing == set(), "run `make client`, and commit streamd/web/client/dist"
    assert "streamd.js" in committed


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    assert len(packages) > 1
    assert [path for path, package in packages.items() if "resolved" in package] == []
