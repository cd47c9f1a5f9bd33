"""The words and pairs of words that are used most, without names and words that every text has."""

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from .folding import LETTER, fold, fold_text

_WORD: Final = re.compile(rf"(?:{LETTER})+(?:['’\-‐](?:{LETTER})+)*")
_CHUNK: Final = re.compile(r"\S+")
_POSSESSIVE: Final = re.compile(r"['’]s$", re.IGNORECASE)
_LONGEST_CHARS: Final = 40  # longer ones are no words: identifiers, or scripts without spaces between them
_LEAST_PAIRS: Final = 2  # a pair of words that occurs once says nothing

STOP_WORDS: Final = frozenset(  # folded
    """
    a about above after again against ain't all almost also always am amp an and another any anyone
    anything are aren't around as at away back be became because become been before being below between
    both but by can can't cannot cant com come could couldn't did didn't didnt do does doesn't doesnt
    doing don't done dont down during each either else even ever every everyone everything few for from
    further gave get gets getting give go goes going gone got gotta gt had hadn't has hasn't have
    haven't having he he'd he'll he's her here here's hers herself him himself his how how's however
    http https i i'd i'll i'm i've if im in instead into is isn't isnt it it'd it'll it's its itself ive
    just keep let let's like lot lt made make makes making many may maybe me might mine more most much
    must mustn't my myself nbsp need needs neither never no nobody none nor not nothing now of off often
    on once one ones only onto or other others ought our ours ourselves out over own per perhaps put
    quite quot rather really rt said same say says see seem seems seen shall shan't she she'd she'll
    she's should shouldn't since so some someone something still such take than that that'll that's the
    their theirs them themselves then there there's these they they'd they'll they're they've thing
    things this those though through to together too toward towards under until up upon us use used
    using very via was wasn't wasnt way we we'd we'll we're we've well went were weren't what what's
    when when's where where's whether which while who who's whoever whole whom whose why why's will with
    within without won't wont would wouldn't www yes yet you you'd you'll you're you've your yours
    yourself yourselves
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""Words of English that say nothing of what a text is about, and what pages leave in it."""


def words_of(text: str, spans: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[str, bool]]:
    """The words that say something, and whether each follows the one before it directly.

    Left out are links, numbers, single characters and stop words. What lies between two words must be nothing
    but space for them to be a pair.

    Args:
        text: prepared, see :func:`~.folding.prepare`.
        spans: what to leave out, in order, such as names.
    """
    cut = [*spans, *(match.span() for match in _CHUNK.finditer(text) if _is_link(match[0]))]
    if cut:
        # NUL stands for what was cut out: it ends a word, and is no space between two.
        parts, at = [], 0
        for start, end in sorted(cut):
            parts.append(text[at:start])
            at = max(at, end)
        text = "\x00".join([*parts, text[at:]])
    ended = -1
    for match in _WORD.finditer(text):
        word = _POSSESSIVE.sub("", match[0].lower())
        kept = fold(word).text if len(word) <= _LONGEST_CHARS else ""
        if len(kept) < 2 or kept in STOP_WORDS or not any(character.isalpha() for character in kept):
            continue
        yield word, ended >= 0 and text[ended : match.start()].isspace()
        ended = match.end()


def _is_link(chunk: str) -> bool:
    """Whether something between two spaces is an address, of a page or of a person."""
    if "://" in chunk or chunk[:4].lower() == "www.":
        return True
    name, at, host = chunk.rpartition("@")
    return bool(name and at) and "." in host.strip(".")


class Terms:
    """Counts words and pairs of words."""

    def __init__(self) -> None:
        self._words: Final[Counter[str]] = Counter()
        self._pairs: Final[Counter[str]] = Counter()

    def add(self, words: Iterable[tuple[str, bool]]) -> None:
        """Count the words of one text, see :func:`words_of`."""
        before = ""
        for word, follows in words:
            self._words[word] += 1
            if follows:
                self._pairs[f"{before} {word}"] += 1
            before = word

    def tables(self, most: int) -> dict[str, Any]:
        """The most frequent of each: by count, those with the same count in the order of their letters."""
        return {"words": _rows(self._words, most, 1), "phrases": _rows(self._pairs, most, _LEAST_PAIRS)}


def _rows(counts: Counter[str], most: int, least: int) -> list[dict[str, Any]]:
    """Terms that differ in accents alone are one, written as it is most often."""
    spellings: dict[str, list[tuple[int, str]]] = {}
    for term, count in counts.items():
        spellings.setdefault(fold_text(term), []).append((-count, term))
    totals = ((sum(count for count, _ in terms), key) for key, terms in spellings.items())
    first = heapq.nsmallest(most, (row for row in totals if row[0] <= -least))
    return [{"term": min(spellings[key])[1], "count": -count} for count, key in first]
