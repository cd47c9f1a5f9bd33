"""The catalogue of the embedded rules: channels, goals, audiences and sections, read from ``data/``."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Generic, TypeVar

import attrs
import msgspec
from msgspec import Meta

from ...config import load_tables
from ...errors import ConfigError
from ...text import normalize_text

DATA: Final = Path(__file__).with_name("data")

_FIT_DEFAULT: Final = 2  # of 5: a channel serves a goal a little where the catalogue is silent
_WHOLE_WORD_CHARS: Final = 3  # up to this length a word must match whole: "x" and "pr" begin too many others

Text = Annotated[str, Meta(min_length=1)]
Word = Annotated[str, Meta(min_length=1, pattern=r"^[^A-Z]+$")]  # compared with text in lower case


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a catalogue file."""

    name: Text


class RecognisedEntry(Entry, frozen=True, kw_only=True):
    """An entry that a text mentions by certain words."""

    words: tuple[Word, ...]

    def find(self, text: str) -> int | None:
        """Find the first word that begins with one of these words, and return its index.

        Args:
            text: normalized text in lower case.
        """
        match = _pattern(self.words).search(text) if self.words else None
        return match.start() if match else None


class GoalKind(RecognisedEntry, frozen=True, kw_only=True):
    """A kind of goal; ``data/goals.toml`` explains the fields."""

    result: Text
    results: Text
    counted: Text
    early_sign: Text
    message: Text
    proof: Text


class ChannelKind(RecognisedEntry, frozen=True, kw_only=True):
    """A kind of channel; ``data/channels.toml`` explains the fields."""

    role: Text
    first: Text
    rhythm: Text
    figure: Text
    lead_weeks: Annotated[int, Meta(ge=1)]
    fit: Mapping[str, Annotated[int, Meta(ge=1, le=5)]]

    def fit_for(self, goal: GoalKind) -> int:
        """Return how well the channel serves a goal, from 1 to 5."""
        return self.fit.get(goal.name, _FIT_DEFAULT)


class AudienceKind(RecognisedEntry, frozen=True, kw_only=True):
    """A kind of audience; ``data/audiences.toml`` explains the fields."""

    people: Text
    matters: Text
    doubts: Text
    tone: Text


class Section(Entry, frozen=True, kw_only=True):
    """A section of the strategy, which is a step of the task; ``data/sections.toml`` explains the fields."""

    title: Text
    doing: Text
    brief: Text
    words: Annotated[int, Meta(ge=1)]
    weight: Annotated[float, Meta(gt=0)] = 1.0

    @property
    def purpose(self) -> str:
        """The purpose of its prompt, which names the rule that composes it."""
        return f"strategy.{self.name}"


R = TypeVar("R", bound=RecognisedEntry)


@attrs.frozen
class Catalogue(Generic[R]):
    """Entries in the order of precedence, and the fallback for texts that mention none of them."""

    entries: tuple[R, ...]
    fallback: R

    def recognise(self, text: str) -> R:
        """Return the first entry that the text mentions."""
        plain = normalize_text(text).casefold()
        return next((entry for entry in self.entries if entry.find(plain) is not None), self.fallback)

    def recognise_all(self, text: str) -> tuple[R, ...]:
        """Return all entries that the text mentions, in the order of their first mention."""
        plain = normalize_text(text).casefold()
        found = [(index, entry) for entry in self.entries if (index := entry.find(plain)) is not None]
        return tuple(entry for _, entry in sorted(found, key=lambda one: one[0])) or (self.fallback,)


def load_catalogue(file: Path, type: type[R]) -> Catalogue[R]:
    """Read a TOML file of entries that texts mention.

    Raises:
        ConfigError: as :func:`~streamd.config.load_tables`; or the number of tables without words is not one.
    """
    entries = load_tables(file, type)
    fallbacks = [entry for entry in entries if not entry.words]
    if len(fallbacks) != 1:
        named = ", ".join(f"[{entry.name}]" for entry in fallbacks) or "none"
        raise ConfigError(f"{file}: exactly one table must have no words: the fallback; there is {named}")
    return Catalogue(tuple(entry for entry in entries if entry.words), fallbacks[0])


def load_channels(file: Path, goals: Catalogue[GoalKind]) -> Catalogue[ChannelKind]:
    """Read the channels, and check that the goals they serve exist.

    Raises:
        ConfigError: as :func:`load_catalogue`; or ``fit`` names an unknown goal.
    """
    channels = load_catalogue(file, ChannelKind)
    known = {goal.name for goal in goals.entries}
    for channel in (*channels.entries, channels.fallback):
        for goal in channel.fit:
            if goal not in known:
                raise ConfigError(
                    f"{file}: [{channel.name}]: fit names an unknown goal {goal!r};"
                    f" the goals are {', '.join(known)}"
                )
    return channels


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = (re.escape(word) + (r"(?!\w)" if len(word) <= _WHOLE_WORD_CHARS else "") for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})")


GOALS: Final = load_catalogue(DATA / "goals.toml", GoalKind)
CHANNELS: Final = load_channels(DATA / "channels.toml", GOALS)
AUDIENCES: Final = load_catalogue(DATA / "audiences.toml", AudienceKind)
SECTIONS: Final = load_tables(DATA / "sections.toml", Section)

"""The steps of a task that writes a strategy."""
