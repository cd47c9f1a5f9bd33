"""``streamd check-services``: run the sessions of the services' page against any server."""

import os
import re
import shutil
import subprocess
from importlib.resources import files
from typing import Final

import attrs
import click
import trio

from .live import printable

SESSION_SECONDS: Final = 120
_SESSION: Final = re.compile(
    r"<!-- session: (?P<name>[\w-]+) -->\n```sh\n(?P<script>.*?)```\n\n```\n(?P<wanted>.*?)```", re.DOTALL
)
_PREAMBLE: Final = re.compile(r"```sh\nexport STREAMD_URL=\S+\n(?P<script>.*?)```", re.DOTALL)
_ANYTHING: Final = "…"


@attrs.frozen
class PageSession:
    """A session of the page: commands, and the lines that they print."""

    name: str
    script: str  # bash
    wanted: tuple[str, ...]  # lines, in order; other lines may be between them


@attrs.frozen
class SessionOutcome:
    """The result of a session."""

    name: str
    missing: str  # the first line that was not printed; empty if all were
    output: str

    @property
    def passed(self) -> bool:
        return not self.missing


def read_sessions() -> list[PageSession]:
    """Return the sessions of the page, in its order."""
    page = files("streamd.services").joinpath("README.md").read_text(encoding="utf-8")
    preamble = _PREAMBLE.search(page)
    assert preamble is not None
    return [
        PageSession(match["name"], preamble["script"] + match["script"], tuple(match["wanted"].splitlines()))
        for match in _SESSION.finditer(page)
    ]


async def run_session(session: PageSession, url: str) -> SessionOutcome:
    """Run a session against a server. Needs bash and curl."""
    output = ""
    with trio.move_on_after(SESSION_SECONDS) as limit:
        done = await trio.run_process(
            ["bash", "-u", "-c", session.script],
            env={**os.environ, "STREAMD_URL": url},
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
    if limit.cancelled_caught:
        return SessionOutcome(session.name, f"(an end within {SESSION_SECONDS} s)", output)
    return SessionOutcome(session.name, first_missing(session.wanted, output), output)


def first_missing(wanted: tuple[str, ...], output: str) -> str:
    """Return the first line that is missing in its order, or an empty one; ``…`` matches any text."""
    position = 0
    for line in wanted:
        pattern = re.compile(".*?".join(re.escape(part) for part in line.split(_ANYTHING)))
        found = pattern.search(output, position)
        if found is None:
            return line
        position = found.end()
    return ""


@click.command("check-services")
@click.argument("url", envvar="STREAMD_URL", default="http://127.0.0.1:8080")
@click.option("--only", multiple=True, metavar="NAME", help="Run only this session; repeat for several.")
@click.option("-v", "--verbose", is_flag=True, help="Print the output of each session.")
def check_services(url: str, only: tuple[str, ...], verbose: bool) -> None:
    """Run the sessions of the services' page against the server at URL, and compare their output.

    The sessions create a few small tasks, items and orders there. They need bash and curl.
    """
    sessions = read_sessions()
    known = [session.name for session in sessions]
    if unknown := [name for name in only if name not in known]:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}", param_hint="--only")
    if absent := [program for program in ("bash", "curl") if shutil.which(program) is None]:
        raise click.ClickException(f"the sessions need {absent[0]}, which is not installed")
    failed = 0
    for session in sessions:
        if only and session.name not in only:
            continue
        outcome = trio.run(run_session, session, url.rstrip("/"))
        click.echo(f"{'ok    ' if outcome.passed else 'FAILED'}  {session.name}")
        if not outcome.passed:
            failed += 1
            click.echo(f"        missing: {outcome.missing}")
        if verbose or not outcome.passed:
            click.echo(_indented(outcome.output))
    if failed:
        raise click.ClickException(f"{failed} of {len(only or sessions)} sessions failed")


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(line[:500])}" for line in text.splitlines())
