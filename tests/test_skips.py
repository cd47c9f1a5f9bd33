"""The plugin that fails unlisted skips, run by pytest in small projects."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SKIPPING = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no browser here")
def test_marked(): pass

def test_inside(): pytest.skip("half way")

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_to_fail(): assert False
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a small project with the plugin and an empty list."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.support.skips"]\n')
    (tmp_path / "conf/setup").mkdir(parents=True)
    (tmp_path / "conf/setup/allowed-skips.txt").write_text("# nothing\n")
    return tmp_path


def run(project: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=project,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_skips_pass_without_the_option(project: Path) -> None:
    (project / "test_it.py").write_text(SKIPPING)
    status, output = run(project)
    assert status == 0
    assert "1 passed, 2 skipped, 1 xfailed" in output


def test_unlisted_skip_fails_by_mark_and_by_call(project: Path) -> None:
    (project / "test_it.py").write_text(SKIPPING)
    status, output = run(project, "--no-unlisted-skips")
    assert status == 1
    assert "test_it.py::test_marked was skipped and is not named" in output
    assert "no browser here" in output
    assert "test_it.py::test_inside was skipped and is not named" in output
    assert " skipped" not in output.splitlines()[-1]


def test_listed_skip_passes(project: Path) -> None:
    (project / "test_it.py").write_text(SKIPPING)
    (project / "conf/setup/allowed-skips.txt").write_text(
        "test_it.py::test_marked  # there is no browser\ntest_it.py::test_inside  # nor that\n"
    )
    status, output = run(project, "--no-unlisted-skips")
    assert status == 0
    assert "2 skipped" in output


def test_unlisted_skip_of_a_module_fails(project: Path) -> None:
    (project / "test_it.py").write_text('import pytest\npytest.importorskip("no_such_module_anywhere")\n')
    status, output = run(project, "--no-unlisted-skips")
    assert status not in (0, 5)
    assert "test_it.py was skipped and is not named" in output


def test_listed_skip_needs_a_reason(project: Path) -> None:
    (project / "test_it.py").write_text(SKIPPING)
    (project / "conf/setup/allowed-skips.txt").write_text("test_it.py::test_marked\n")
    status, output = run(project, "--no-unlisted-skips")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "allowed-skips.txt:1" in output
