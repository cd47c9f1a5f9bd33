"""A pytest plugin that fails skipped tests which conf/setup/allowed-skips.txt does not name.

Its option is ``--no-unlisted-skips``. Without it, a missing browser would hide a broken page in a green run.
"""

from collections.abc import Generator
from pathlib import Path

import pytest

_LIST = Path("conf/setup/allowed-skips.txt")
_allowed = pytest.StashKey[frozenset[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-unlisted-skips", action="store_true", help=f"fail skipped tests not named in {_LIST}"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--no-unlisted-skips"):
        config.stash[_allowed] = frozenset(_read(config.rootpath / _LIST))


def _read(path: Path) -> Generator[str]:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        nodeid, _, reason = line.partition("  # ")
        if not reason.strip():
            raise pytest.UsageError(f"{_LIST}:{number}: write NODEID, two spaces, and '# REASON'")
        yield nodeid.strip()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # A test that fails as expected counts as skipped, too. Its mark gives the reason, and is strict.
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_unlisted(item.config, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _fail_unlisted(collector.config, report)
    return report


def _fail_unlisted(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.nodeid not in config.stash.get(_allowed, {report.nodeid}):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped and is not named in {_LIST}: {reason}"
