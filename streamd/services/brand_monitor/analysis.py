"""The computations of an analysis, part by part: for threads and for worker processes.

::

    cut - for each part: find_names - score_mentions (of those that name the brand)
                                    - count_terms
        - summarize: merges what was counted in the parts

Between the computations there are only bytes, which cost the event loop nothing but a copy.
"""

import pickle
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import attrs
import msgspec

from ...errors import InvalidBody
from ...events import format_time
from ...steps import Steps
from ...text import score_in_steps
from .models import Analysis, Mention
from .names import Matcher, NameMatches
from .terms import Terms, words_of
from .tone import Tone
from .voice import Voice

_PART_CHARS: Final = 65_536  # 0.1 to 0.5 s of scoring
_TERMS_MAX: Final = 30  # in a result: as many as a page shows


@attrs.frozen
class Part:
    """Some of the mentions of an analysis.

    Args:
        count: number of mentions.
        packed: the mentions, or what is known of them.
    """

    count: int
    packed: bytes


@attrs.frozen
class CutAnalysis:
    """An analysis in parts.

    Args:
        names: the brand, then its competitors.
        times: of the first and the last mention; None without mentions.
        parts: the mentions.
    """

    names: list[str]
    times: tuple[datetime, datetime] | None
    parts: list[Part]


@attrs.frozen
class NamedMentions:
    """The names in a part.

    Args:
        voice: who is named, packed.
        of_brand: the mentions that name the brand.
        found: all mentions, with the names in them.
    """

    voice: bytes
    of_brand: Part
    found: Part


def cut(raw_input: bytes, max_mentions: int) -> Steps[CutAnalysis]:
    """Decode the input of a task, and cut it into parts.

    Args:
        raw_input: an :class:`.models.Analysis` as JSON.
        max_mentions: maximum number of mentions in a part (count).

    Raises:
        InvalidBody: the input is no analysis.
    """
    try:
        analysis = msgspec.json.decode(raw_input, type=Analysis)
    except msgspec.DecodeError as error:
        raise InvalidBody("the input is no analysis") from error
    yield
    mentions = analysis.mentions
    parts = []
    begin = chars = 0
    for index, mention in enumerate(mentions):
        if index > begin and (index - begin >= max_mentions or chars + len(mention.text) > _PART_CHARS):
            parts.append(_pack(mentions[begin:index]))
            begin, chars = index, 0
            yield
        chars += len(mention.text)
    if mentions:
        parts.append(_pack(mentions[begin:]))
    times = [mention.time for mention in mentions]
    return CutAnalysis(
        [analysis.brand, *analysis.competitors], (min(times), max(times)) if times else None, parts
    )


def find_names(names: Sequence[str], part: Part) -> Steps[NamedMentions]:
    """Look for names in the mentions of a part."""
    matcher, voice = Matcher(names), Voice(names)
    mentions = msgspec.msgpack.decode(part.packed, type=list[Mention])
    found, of_brand = [], []
    for mention in mentions:
        yield
        matches = matcher.find(mention.text)
        voice.add(matches)
        found.append(matches)
        if 0 in matches.counts:
            of_brand.append(mention)
    return NamedMentions(pickle.dumps(voice), _pack(of_brand), _pack(found))


def score_mentions(part: Part) -> Steps[bytes]:
    """Score the mentions of a part; return their packed :class:`.tone.Tone`."""
    tone = Tone()
    for mention in msgspec.msgpack.decode(part.packed, type=list[Mention]):
        yield
        score = yield from score_in_steps(mention.text)
        tone.add(mention, score)
    return pickle.dumps(tone)


def count_terms(found: Part) -> Steps[bytes]:
    """Count the words of a part; return the packed :class:`.terms.Terms` of the brand, and of the others."""
    with_brand, others = Terms(), Terms()
    for matches in msgspec.msgpack.decode(found.packed, type=list[NameMatches]):
        yield
        (with_brand if 0 in matches.counts else others).add(words_of(matches.text, matches.spans))
    return pickle.dumps((with_brand, others))


def summarize(
    analysis: CutAnalysis, voices: Sequence[bytes], tones: Sequence[bytes], terms: Sequence[bytes]
) -> Steps[bytes]:
    """Merge what was counted in the parts; return the result of the analysis as JSON.

    Args:
        analysis: the analysis; its parts are not looked at.
        voices: from :func:`find_names`.
        tones: from :func:`score_mentions`.
        terms: from :func:`count_terms`.
    """
    names, times = analysis.names, analysis.times
    voice, tone, with_brand, everywhere = Voice(names), Tone(), Terms(), Terms()
    for packed in voices:
        voice.merge(pickle.loads(packed))  # noqa: S301 - packed above, as are the others
    for packed in tones:
        tone.merge(pickle.loads(packed))  # noqa: S301
        yield
    for packed in terms:
        of_brand, others = pickle.loads(packed)  # noqa: S301
        with_brand.merge(of_brand)
        everywhere.merge(of_brand)
        yield
        everywhere.merge(others)
        yield
    result: dict[str, Any] = {
        "brand": names[0],
        "competitors": names[1:],
        "period": {"from": format_time(times[0]), "to": format_time(times[1])} if times else None,
        "mentions": {"total": voice.total, "brand": voice.of_brand, "nobody": voice.nobody},
        "shareOfVoice": voice.table(),
        "sentiment": tone.tables(),
    }
    yield
    result["terms"] = {"brand": with_brand.tables(_TERMS_MAX)}
    yield
    result["terms"]["all"] = everywhere.tables(_TERMS_MAX)
    return msgspec.json.encode(result)


def _pack(mentions: Sequence[Mention] | Sequence[NameMatches]) -> Part:
    return Part(len(mentions), msgspec.msgpack.encode(mentions))
