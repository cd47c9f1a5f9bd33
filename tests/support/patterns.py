"""A slow matcher of patterns, and strategies for patterns and topics that meet each other."""

from typing import Final

from hypothesis import strategies as st

WORDS: Final = ("a", "b", "*", "**", "", "a*")


def pieces(text: str) -> list[str]:
    """Split a topic into segments and the separators between them."""
    found = [""]
    for char in text:
        if char in "/:":
            found += [char, ""]
        else:
            found[-1] += char
    return found


def expected_match(pattern: str, topic: str) -> bool:
    """Match piece by piece, without a regular expression."""
    if pattern == "*":
        return True
    wanted, got = pieces(pattern), pieces(topic)
    if wanted[-1] == "**":
        del wanted[-1]
        rest = "".join(got[len(wanted) :])
        if not rest:
            return False
        got = got[: len(wanted)]
    return len(wanted) == len(got) and all(
        one == other or (one == "*" and other not in ("", "/", ":"))
        for one, other in zip(wanted, got, strict=True)
    )


def _join(words: list[str], separators: list[str]) -> str:
    joined = "".join(word + separator for word, separator in zip(words, separators, strict=False))
    return joined[:-1] if joined else ""


topic_texts: Final = st.builds(
    _join,
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=20),
    st.lists(st.sampled_from("/:"), min_size=20, max_size=20),
).filter(bool)
"""Topics of up to 20 segments out of few words, some of which look like wildcards."""

pattern_texts: Final = topic_texts.filter(lambda text: "**" not in pieces(text)[:-1])
"""Patterns of the same words."""
