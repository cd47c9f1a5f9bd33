"""The most frequent words and phrases, without names and stop words."""

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from .folding import LETTER, fold, fold_text

_WORD: Final = re.compile(rf"(?:{LETTER})+(?:['\-](?:{LETTER})+)*")
_CHUNK: Final = re.compile(r"\S+")
_POSSESSIVE: Final = re.compile(r"'s$", re.IGNORECASE)
_WORD_CHARS_MAX: Final = 40  # longer matches are identifiers, or text of scripts without spaces
_PAIRS_MIN: Final = 2  # a pair that occurs once is noise

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
"""English stop words, and remnants of HTML, in folded form."""


def words_of(text: str, spans: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[str, bool]]:
    """Yield the content words of a text, each with True if only space separates it from the previous one.

    Links, numbers, single characters and stop words are skipped.

    Args:
        text: normalized text, see :func:`streamd.text.normalize_text`.
        spans: spans to skip, in order, such as names.
    """
    cut = [*spans, *(match.span() for match in _CHUNK.finditer(text) if _is_link(match[0]))]
    if cut:
        # A NUL replaces each skipped span: it ends a word, and is no space between two words.
        parts, at = [], 0
        for start, end in sorted(cut):
            parts.append(text[at:start])
            at = max(at, end)
        text = "\x00".join([*parts, text[at:]])
    ended = -1
    for match in _WORD.finditer(text):
        word = _POSSESSIVE.sub("", match[0].lower())
        kept = fold(word).text if len(word) <= _WORD_CHARS_MAX else ""
        if len(kept) < 2 or kept in STOP_WORDS or not any(character.isalpha() for character in kept):
            continue
        yield word, ended >= 0 and text[ended : match.start()].isspace()
        ended = match.end()


def _is_link(chunk: str) -> bool:
    """Return True if a chunk between two spaces is a URL or an e-mail address."""
    if "://" in chunk or chunk[:4].lower() == "www.":
        return True
    name, at, host = chunk.rpartition("@")
    return bool(name and at) and "." in host.strip(".")


class Terms:
    """Counters of words and of pairs of words."""

    def __init__(self) -> None:
        self._words: Final[Counter[str]] = Counter()
        self._pairs: Final[Counter[str]] = Counter()

    def add(self, words: Iterable[tuple[str, bool]]) -> None:
        """Count the words of one text, as :func:`words_of` yields them."""
        previous = ""
        for word, follows in words:
            self._words[word] += 1
            if follows:
                self._pairs[f"{previous} {word}"] += 1
            previous = word

    def merge(self, other: "Terms") -> None:
        """Add the counters of other texts."""
        self._words.update(other._words)
        self._pairs.update(other._pairs)

    def tables(self, limit: int) -> dict[str, Any]:
        """Return the most frequent words and phrases, by count, then alphabetically.

        Args:
            limit: maximum number of rows in each table.
        """
        return {"words": _rows(self._words, limit, 1), "phrases": _rows(self._pairs, limit, _PAIRS_MIN)}


def _rows(counts: Counter[str], limit: int, min_count: int) -> list[dict[str, Any]]:
    """Merge terms that differ only in accents under their most frequent spelling, and rank them."""
    spellings: dict[str, list[tuple[int, str]]] = {}
    for term, count in counts.items():
        spellings.setdefault(fold_text(term), []).append((-count, term))
    totals = ((sum(count for count, _ in terms), key) for key, terms in spellings.items())
    first = heapq.nsmallest(limit, (row for row in totals if row[0] <= -min_count))
    return [{"term": min(spellings[key])[1], "count": -count} for count, key in first]
