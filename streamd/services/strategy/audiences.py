"""What the rules know of audiences: what decides for them, and how to speak to them."""

from typing import Final

import attrs

from .recognise import read_words


@attrs.frozen(kw_only=True)
class Trait:
    """Something about an audience that changes how it is spoken to."""

    key: str
    words: tuple[str, ...] = attrs.field(converter=read_words)
    who: str
    matters: str  # what decides for them
    doubts: str  # what holds them back
    tone: str


TRAITS: Final = (
    Trait(
        key="business",
        words=(
            "b2b, business, compan, enterprise, sme, manager, director, procurement, agenc, "
            "founder, startup, cto, ceo, hr, owner, freelanc, consultant, professional, team"
        ),
        who="people who decide for an organisation",
        matters="a result that can be defended before others: time saved, less risk, cost that is known",
        doubts="the effort of changing, and having to answer for a wrong choice",
        tone="factual, with figures and names of comparable customers",
    ),
    Trait(
        key="young",
        words="student, teen, gen z, young, pupil, apprentice, school, universit, 18-, 16-",
        who="young people",
        matters="what friends think of it, a low first price and no obligation",
        doubts="being sold to, and subscriptions that cannot be left",
        tone="short, shown rather than told, in their own formats",
    ),
    Trait(
        key="families",
        words="parent, famil, mother, father, mum, kid, child, baby",
        who="families",
        matters="safety, time saved on ordinary days and a price that can be planned",
        doubts="whether it lasts, and whether others with children were content",
        tone="warm and practical, with everyday scenes",
    ),
    Trait(
        key="older",
        words="senior, retire, pension, elder, 60+, 65+, older",
        who="older people",
        matters="reliability, a person who can be reached and plain explanations",
        doubts="small print, and being left alone with technology",
        tone="calm and complete, with a telephone number",
    ),
    Trait(
        key="local",
        words="local, neighb, region, town, city, village, district, nearby, resident",
        who="people nearby",
        matters="the short way, known faces and what neighbours say",
        doubts="whether a larger supplier would be cheaper",
        tone="personal, with places and people that are known here",
    ),
)

ANYBODY: Final = Trait(
    key="general",
    words="",
    who="people with one need in common",
    matters="whether it solves the matter at hand, soon and at a price that is known beforehand",
    doubts="whether it keeps what it promises",
    tone="plain and friendly, one thought at a time",
)
