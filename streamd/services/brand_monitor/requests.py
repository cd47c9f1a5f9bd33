"""Parsing and validation of the request for an analysis."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta

from ...characters import TextKind, check_text, quoted
from ...errors import InvalidField
from ...json import decoding_steps
from ...steps import Steps
from .models import Analysis, AnalysisBody, Mention, MentionBody
from .names import key_of
from .settings import BrandMonitorSettings

_LEAP_SECOND: Final = re.compile(r"(?<=T\d\d:\d\d:)60", re.IGNORECASE)  # RFC 3339 section 5.7

Moment = Annotated[datetime, Meta(tz=True)]


def parse_analysis(raw: bytes, settings: BrandMonitorSettings) -> Steps[tuple[str | None, bytes]]:
    """Parse a request into the chosen task id, or None, and the analysis as JSON, in steps.

    Raises:
        InvalidBody: the body is not JSON, or has another shape.
        InvalidField: a value is invalid; ``field`` is its path, such as ``mentions[3].time``.
    """
    body: AnalysisBody = yield from decoding_steps(raw, AnalysisBody)
    names = [_check_name(body.brand, "brand", settings)]
    if len(body.competitors) > settings.max_competitors:
        raise InvalidField(
            f"competitors may have at most {settings.max_competitors} names, got {len(body.competitors)}",
            field="competitors",
        )
    seen = {key_of(names[0]): "the brand"}
    for index, competitor in enumerate(body.competitors):
        field = f"competitors[{index}]"
        name = _check_name(competitor, field, settings)
        key = key_of(name)
        if key in seen:
            raise InvalidField(f"{field} has the same name as {seen[key]}", field=field)
        seen[key] = field
        names.append(name)
    if len(body.mentions) > settings.max_mentions:
        raise InvalidField(
            f"mentions may have at most {settings.max_mentions} entries, got {len(body.mentions)}",
            field="mentions",
        )
    mentions = []
    for index, mention in enumerate(body.mentions):
        yield
        mentions.append(_check(mention, f"mentions[{index}]", settings))
    task_id = None if body.task_id is UNSET else body.task_id
    return task_id, msgspec.json.encode(Analysis(names[0], names[1:], mentions))


def _check_name(name: str, field: str, settings: BrandMonitorSettings) -> str:
    name = check_text(name.strip(), field, max_chars=settings.max_name_chars)
    if not key_of(name):
        raise InvalidField(f"{field} needs a letter or a digit", field=field)
    return name


def _check(mention: MentionBody, field: str, settings: BrandMonitorSettings) -> Mention:
    if not mention.text.strip() or len(mention.text) > settings.max_text_chars:
        raise InvalidField(
            f"{field}.text must be text of 1 to {settings.max_text_chars} characters", field=f"{field}.text"
        )
    check_text(mention.text, f"{field}.text", TextKind.TEXT)
    source = check_text(mention.source.strip(), f"{field}.source", max_chars=settings.max_name_chars)
    return Mention(mention.text, source, _parse_time(mention.time, f"{field}.time"))


def _parse_time(text: str, field: str) -> datetime:
    try:
        # A leap second counts as the last second of its day.
        moment: datetime = msgspec.convert(_LEAP_SECOND.sub("59", text), Moment)
        return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise InvalidField(
            f"{field} must be an RFC 3339 time with a zone, such as 2026-03-01T09:30:00Z; got {quoted(text)}",
            field=field,
        ) from None
