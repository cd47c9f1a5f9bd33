"""`streamd config check` in this process, and the files that it must leave alone."""

from pathlib import Path

from click.testing import CliRunner, Result

from streamd.cli import main


def run(*arguments: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, arguments, env=environ or {})


def contents(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return size, change time and inode of every file."""
    found = {str(path): path.stat() for path in folder.rglob("*")}
    return {name: (status.st_size, status.st_mtime_ns, status.st_ino) for name, status in found.items()}


def check_refused(environ: dict[str, str], setting: str, text: str, folder: Path) -> None:
    """Check that both commands refuse the settings with the same lines, one of which has the text."""
    before = contents(folder)
    results = [run(*command, environ=environ) for command in (("config", "check"), ("serve",))]
    assert contents(folder) == before, "nothing is created or changed"
    for result in results:
        assert result.exit_code == 2, result.output
        assert not result.stdout
        [line] = [line for line in result.stderr.splitlines() if text in line]
        assert line.startswith(setting), line
    assert results[0].stderr == results[1].stderr
