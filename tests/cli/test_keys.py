"""`streamd keys`: keys that are new, secret and never overwritten."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamd.auth.key_formats import read_jwk, read_jwk_set, read_secret
from streamd.auth.settings import ALGORITHMS, SHARED_SECRET_ALGORITHMS
from streamd.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


@pytest.mark.parametrize("algorithm", SHARED_SECRET_ALGORITHMS)
def test_a_secret_is_printed_as_a_line_of_the_settings(algorithm: str) -> None:
    results = [run("--algorithm", algorithm) for _ in range(2)]
    lines = [result.stdout.removesuffix("\n") for result in results]
    assert lines[0] != lines[1]
    assert all(read_secret(line).algorithm == algorithm for line in lines)
    assert not any(result.stderr for result in results)


def test_the_default_is_a_secret_for_hs256() -> None:
    assert read_secret(run().stdout.strip()).algorithm == "HS256"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_file_is_for_its_owner_alone(tmp_path: Path, algorithm: str) -> None:
    file = tmp_path / "key.json"
    before = os.umask(0)
    try:
        result = run("--algorithm", algorithm, "--output", str(file))
    finally:
        os.umask(before)
    assert result.exit_code == 0
    assert not result.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    key = read_jwk(json.loads(file.read_text()))
    assert (key.algorithm, key.can_sign) == (algorithm, True)


def test_the_public_part_is_a_set_without_secrets(tmp_path: Path) -> None:
    file, public = tmp_path / "key.json", tmp_path / "public.json"
    assert run("--algorithm", "EdDSA", "--output", str(file), "--public", str(public)).exit_code == 0
    (key,), left_out = read_jwk_set(public.read_bytes())
    assert left_out == []
    assert not key.can_sign
    assert key.fingerprint == read_jwk(json.loads(file.read_text())).fingerprint
    assert json.loads(file.read_text())["d"] not in public.read_text()


@pytest.mark.parametrize("existing", ["key.json", "public.json"])
def test_no_file_is_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    files = ("--output", str(tmp_path / "key.json"), "--public", str(tmp_path / "public.json"))
    result = run("--algorithm", "ES256", *files)
    assert result.exit_code == 1
    assert f"{existing} exists, and is not overwritten" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key.json").symlink_to(tmp_path / "elsewhere")
    assert run("--algorithm", "ES256", "--output", str(tmp_path / "key.json")).exit_code == 1
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--algorithm", "RS256"], 2, "name a file with --output"),
        (["--algorithm", "none"], 2, "'none' is not one of"),
        (["--public", "public.json"], 2, "has no public part"),
        (["--output", "/nonexistent/key.json"], 1, "/nonexistent/key.json cannot be written: No such file"),
    ],
)
def test_a_wrong_option_is_an_error(arguments: list[str], status: int, says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == status
    assert says in result.stderr
    assert not result.stdout
