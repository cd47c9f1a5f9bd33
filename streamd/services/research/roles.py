"""Job titles: the level and the field of work that they state."""

import re
from enum import IntEnum, StrEnum
from typing import Final

import attrs

from ...text import normalize_text


class Level(IntEnum):
    """The level in the hierarchy. People of adjacent levels talk to each other most easily."""

    SPECIALIST = 0
    MANAGER = 1
    DIRECTOR = 2
    VICE_PRESIDENT = 3
    EXECUTIVE = 4

    @property
    def words(self) -> str:
        """The level as sentences name it."""
        return self.name.lower().replace("_", " ")


class Field(StrEnum):
    """The field of work. The value is its name in sentences."""

    SALES = "sales"
    MARKETING = "marketing"
    FINANCE = "finance"
    TECHNOLOGY = "technology"
    PRODUCT = "product"
    OPERATIONS = "operations"
    PURCHASING = "purchasing"
    PEOPLE = "human resources"
    LEGAL = "legal and compliance"
    GENERAL = "general management"


@attrs.frozen
class Role:
    """The level and field of a job title."""

    level: Level
    field: Field


# The first match decides. "Executive" alone is no match: an account executive is no board member.
_LEVELS: Final = (
    (Level.SPECIALIST, r"assistant|intern|trainee|student|account executive|business partner"),
    (Level.VICE_PRESIDENT, r"[es]?vp|[es]vp|vice[- ]president|deputy chief"),
    (
        Level.EXECUTIVE,
        r"c[efotimrpd]o|chro|ciso|chief|president|founder|(?<!product )owner|managing (director|partner)",
    ),
    (Level.DIRECTOR, r"director|head|principal"),
    (Level.MANAGER, r"manager|lead|leader|supervisor|foreman|(?<=product )owner"),
)
_FIELDS: Final = (
    (Field.PURCHASING, r"purchas(e|ing)|procurement|buyer|buying|sourcing|cpo"),
    (Field.LEGAL, r"legal|counsel|compliance|privacy|audit|risk"),
    (Field.PEOPLE, r"hr|chro|people|human resources|talent|recruit(ing|ment|er)"),
    (Field.FINANCE, r"cfo|financ(e|ial)|treasur(y|er)|controller|controlling|accounting|accountant"),
    (Field.PRODUCT, r"products?"),
    (Field.MARKETING, r"cmo|marketing|brand|communications?|growth|demand"),
    (
        Field.TECHNOLOGY,
        r"cto|cio|ciso|it|technology|technical|engineer(ing)?|software|data|information|security|platform",
    ),
    (Field.SALES, r"cro|sales|revenue|accounts?|business development|partnerships?|customers?|commercial"),
    (
        Field.OPERATIONS,
        r"coo|operations?|operating|logistics|supply chain|production|manufacturing|plant|fleet|warehouse",
    ),
)


def read_role(title: str) -> Role:
    """Read a job title, such as ``Head of Sales``.

    A title without a known word is that of a specialist in general management, the weakest assumption.
    """
    text = " ".join(normalize_text(title).casefold().split())
    level = next((level for level, words in _LEVELS if _mentions(text, words)), Level.SPECIALIST)
    field = next((field for field, words in _FIELDS if _mentions(text, words)), Field.GENERAL)
    return Role(level, field)


def _mentions(text: str, words: str) -> bool:
    return re.search(rf"\b(?:{words})\b", text) is not None
