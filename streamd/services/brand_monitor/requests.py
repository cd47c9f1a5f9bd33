"""What an analysis is asked for with, and all that can be wrong with it."""

import re
import zlib
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...errors import InvalidField
from ...events import decode_json
from .names import key_of
from .settings import BrandMonitorSettings

_LEAP_SECOND: Final = re.compile(r"(?<=T\d\d:\d\d:)60", re.IGNORECASE)  # RFC 3339 section 5.7
_QUOTED_CHARS: Final = 60  # of a wrong value, in the answer
_COMPRESSION: Final = 1  # fast; text shrinks to a third

Moment = Annotated[datetime, Meta(tz=True)]


class MentionBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Something said somewhere. `time` is RFC 3339 with a zone."""

    text: str
    source: str
    time: str


class AnalysisBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    """A brand, those it is compared with, and what was said."""

    brand: str
    mentions: list[MentionBody]
    competitors: list[str] = []
    task_id: Annotated[str, Meta(description="Chosen; made up when left out.")] | UnsetType = UNSET


class Mention(msgspec.Struct, array_like=True, frozen=True):
    """A mention that was found to be right."""

    text: str
    source: str
    time: datetime  # UTC


class Wanted(msgspec.Struct, array_like=True, frozen=True):
    """An analysis that can be made."""

    brand: str
    competitors: list[str]
    mentions: list[Mention]
    task_id: str | None = None  # None: to be made up


def parse_analysis(raw: bytes, settings: BrandMonitorSettings) -> Wanted:
    """Read and check a request. Takes a while for a large one: call it in a thread.

    Raises:
        InvalidBody: not JSON, or of another shape.
        InvalidField: a value is wrong; ``field`` is its path, such as ``mentions[3].time``.
    """
    body: AnalysisBody = decode_json(raw, AnalysisBody)
    names = [_check_name(body.brand, "brand", settings)]
    if len(body.competitors) > settings.max_competitors:
        raise InvalidField(
            f"competitors may be {settings.max_competitors} at most, got {len(body.competitors)}",
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
            f"mentions may be {settings.max_mentions} at most, got {len(body.mentions)}", field="mentions"
        )
    mentions = [
        _check(mention, f"mentions[{index}]", settings) for index, mention in enumerate(body.mentions)
    ]
    task_id = None if body.task_id is UNSET else body.task_id
    return Wanted(names[0], names[1:], mentions, task_id)


def pack(wanted: Wanted) -> bytes:
    """An analysis as it is kept until it begins."""
    return zlib.compress(msgspec.msgpack.encode(wanted), _COMPRESSION)


def unpack(packed: bytes) -> Wanted:
    """What :func:`pack` packed."""
    return msgspec.msgpack.decode(zlib.decompress(packed), type=Wanted)


def _check_name(name: str, field: str, settings: BrandMonitorSettings) -> str:
    name = name.strip()
    if not name or not name.isprintable() or len(name) > settings.max_name_chars:
        raise InvalidField(
            f"{field} must be printable text of 1 to {settings.max_name_chars} characters", field=field
        )
    if not key_of(name):
        raise InvalidField(f"{field} needs a letter or a digit", field=field)
    return name


def _check(mention: MentionBody, field: str, settings: BrandMonitorSettings) -> Mention:
    if not mention.text.strip() or len(mention.text) > settings.max_text_chars:
        raise InvalidField(
            f"{field}.text must be text of 1 to {settings.max_text_chars} characters", field=f"{field}.text"
        )
    source = mention.source.strip()
    if not source or not source.isprintable() or len(source) > settings.max_name_chars:
        raise InvalidField(
            f"{field}.source must be printable text of 1 to {settings.max_name_chars} characters",
            field=f"{field}.source",
        )
    return Mention(mention.text, source, _parse_time(mention.time, f"{field}.time"))


def _parse_time(text: str, field: str) -> datetime:
    try:
        # A leap second is counted to the day that it ends.
        moment: Any = msgspec.convert(_LEAP_SECOND.sub("59", text), Moment)
        return moment.astimezone(UTC)  # type: ignore[no-any-return]
    except (msgspec.ValidationError, OverflowError):
        raise InvalidField(
            f"{field} must be an RFC 3339 time with a zone, such as 2026-03-01T09:30:00Z;"
            f" got {text[:_QUOTED_CHARS]!r}",
            field=field,
        ) from None
