"""The lines of the log, as another process writes them to standard error."""

import json
import logging
import subprocess
import sys

import pytest
import structlog

from streamd.characters import find_invalid
from streamd.logs.configure import LineFormatter
from tests.support.odd_texts import INVALID_IDENTIFIERS, VALID_IDENTIFIERS

PROGRAM = """
import json, sys
import structlog
from streamd.logs import LoggingSettings, configure_logging

configure_logging(LoggingSettings(format=sys.argv[1]))
log = structlog.get_logger("streamd.tests")
for text in json.load(sys.stdin):
    log.info("said", detail=text, topics=[text], fields={text: text})
    try:
        raise ValueError(text.translate({10: None, 13: None}))
    except ValueError:
        log.exception("failed", detail=text)
"""


def log_lines(format: str, texts: list[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, format],
        input=json.dumps(texts).encode(),
        stderr=subprocess.PIPE,
        check=True,
    )
    return done.stderr.decode().split("\n")


@pytest.mark.parametrize("format", ["console", "json"])
def test_texts_of_clients_cannot_control_the_terminal_or_forge_lines(format: str) -> None:
    lines = log_lines(format, INVALID_IDENTIFIERS)
    assert [line for line in lines if find_invalid(line.replace("\t", ""))] == []
    events = [line for line in lines if "said" in line or "failed" in line]
    assert len(events) == 2 * len(INVALID_IDENTIFIERS)


def test_a_console_shows_other_scripts_and_joiners_as_they_are() -> None:
    lines = log_lines("console", VALID_IDENTIFIERS)
    for text in VALID_IDENTIFIERS:
        assert any(f"detail={text}" in line or f"detail={text!r}" in line for line in lines), text


def test_a_line_of_structlog_is_formatted_as_by_its_own_formatter() -> None:
    renderer: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(colors=False)]
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    theirs = structlog.stdlib.ProcessorFormatter(processors=[remove_meta, *renderer])
    fields = {"event": "said", "level": "info", "detail": "x", "count": 3}
    record = logging.LogRecord("streamd.tests", logging.INFO, "tests.py", 1, fields, (), None)
    record.__dict__.update(_logger=None, _name="info")
    wanted = theirs.format(record)
    assert "said" in wanted
    assert LineFormatter([], renderer).format(record) == wanted
    assert record.msg == fields
