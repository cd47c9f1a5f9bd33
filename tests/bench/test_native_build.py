"""The build of the benchmark's C programs, with shell scripts as compilers."""

import os
from pathlib import Path

import pytest

import bench.native
from bench.missing import Missing


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a C compiler that the test can write; there is no other."""
    monkeypatch.setattr(bench.native, "_BUILT", tmp_path / "built")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "cc"


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)


def test_a_missing_compiler_is_reported_with_its_package(compiler: Path) -> None:
    with pytest.raises(Missing, match="gcc"):
        bench.native.build("load")


@pytest.mark.parametrize(
    ("message", "package"),
    [
        ("load.h:12:10: fatal error: openssl/ssl.h: No such file or directory", "libssl-dev"),
        ("/usr/bin/ld: cannot find -lssl: No such file or directory", "libssl-dev"),
        ("floor.c:21:10: fatal error: stdio.h: No such file or directory", "libc6-dev"),
    ],
)
def test_missing_headers_are_reported_with_their_package(compiler: Path, message: str, package: str) -> None:
    script(compiler, f"echo '{message}' >&2; exit 1")
    with pytest.raises(Missing, match=package):
        bench.native.build("load")


def test_an_error_in_the_source_is_shown(compiler: Path) -> None:
    script(compiler, "echo 'load.c:1:1: error: unknown type name' >&2; exit 1")
    with pytest.raises(RuntimeError, match="unknown type name"):
        bench.native.build("load")


def test_a_program_is_built_again_once_its_source_is_newer(compiler: Path) -> None:
    script(compiler, 'while [ "$1" != -o ]; do shift; done; echo built >"$2"')
    program = bench.native.build("load")
    assert program.read_text() == "built\n"
    program.write_text("kept")
    assert bench.native.build("load").read_text() == "kept"
    os.utime(program, (0, 0))
    assert bench.native.build("load").read_text() == "built\n"
