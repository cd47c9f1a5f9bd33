"""Finding out what sort of thing a text speaks of, by the words in it."""

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Recognised(Protocol):
    """What can be recognised."""

    @property
    def words(self) -> tuple[str, ...]:
        """Beginnings of words that give it away."""
        ...


Known = TypeVar("Known", bound=Recognised)


def read_words(text: str) -> tuple[str, ...]:
    """Words and short phrases between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def recognise(text: str, known: Sequence[Known], otherwise: Known) -> Known:
    """The first of ``known`` one of whose words begins a word of the text."""
    return next((one for one in known if _place(text, one) is not None), otherwise)


def recognise_in_order(text: str, known: Sequence[Known]) -> list[Known]:
    """All of them, in the order in which the text first speaks of each."""
    places = [(place, one) for one in known if (place := _place(text, one)) is not None]
    return [one for _, one in sorted(places, key=lambda found: found[0])]


def _place(text: str, one: Recognised) -> int | None:
    folded = text.casefold()
    # Short names must be the whole word: "x" and "pr" begin too many others.
    ends = ((word, r"(?!\w)" if len(word) <= 3 else "") for word in one.words)
    matches = (re.search(rf"(?<!\w){re.escape(word)}{end}", folded) for word, end in ends)
    return min((match.start() for match in matches if match is not None), default=None)
