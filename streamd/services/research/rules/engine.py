"""Rules: each reads some shapes, and says what follows from them for this caller."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from ..roles import Role, read_role
from ..shapes import Profile, Shape
from ..templates import Query

_NAMES_SHOWN: Final = 5  # in a sentence; the finding has them all
_NAME_CHARS: Final = 80  # of a name in a sentence: data from elsewhere may hold anything


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """One conclusion, and the datasets it rests on."""

    rule: str
    text: str
    datasets: list[str]
    figures: dict[str, Any] = {}  # what the sentence is made of, for programs


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing for the caller to do, and the datasets it rests on."""

    rule: str
    text: str
    datasets: list[str]
    priority: Literal["high", "normal"]


class Conclusions(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, in the order of the area's datasets; of the recommendations the urgent ones first."""

    insights: list[Insight]
    recommendations: list[Recommendation]


class Found:
    """What a rule concludes: yielded by it, completed by the engine."""

    __slots__ = ("figures", "priority", "text")

    def __init__(self, text: str, priority: Literal["", "high", "normal"], figures: dict[str, Any]) -> None:
        self.text = " ".join(text.split())  # data from elsewhere may bring line ends along
        self.priority: Literal["", "high", "normal"] = priority
        self.figures = figures


def insight(text: str, **figures: Any) -> Found:
    """A conclusion."""
    return Found(text, "", figures)


def recommend(text: str, *, urgent: bool = False) -> Found:
    """Something to do."""
    return Found(text, "high" if urgent else "normal", {})


class Case:
    """Who asks about whom.

    Attributes:
        query: what was asked.
        role: the caller's, read from their title.
        company: how the company is called in sentences.
    """

    def __init__(self, query: Query, company: str) -> None:
        self.query: Final = query
        self.role: Final[Role] = read_role(query.user_role)
        self.company: Final = clip(company)

    @property
    def caller(self) -> str:
        """The caller, as a sentence names them: ``Head of Sales at Corvane Cloud``."""
        return f"{clip(self.query.user_role)} at {clip(self.query.user_company)}"


Rule = Callable[..., Iterable[Found]]
"""Takes the case and one argument for each shape it reads; ``also`` shapes that were not found are None."""

_RULES: Final[list[tuple[str, tuple[type[Shape], ...], tuple[type[Shape], ...], Rule]]] = []


def rule(*needs: type[Shape], also: tuple[type[Shape], ...] = ()) -> Callable[[Rule], Rule]:
    """Add a rule, to be applied where all the shapes it needs were found."""

    def add(function: Rule) -> Rule:
        _RULES.append((function.__name__, needs, also, function))
        return function

    return add


def derive(
    query: Query, found: Mapping[str, Shape | None], failed: Mapping[str, str] | None = None
) -> Conclusions:
    """Apply all rules.

    Args:
        query: what was asked, and by whom.
        found: by dataset, in the area's order; None for data without a shape.
        failed: why there is no data, by dataset.
    """
    shaped = {type(shape): (name, shape) for name, shape in found.items() if shape is not None}
    profile = shaped.get(Profile)
    name = profile[1].name if profile and isinstance(profile[1], Profile) else query.company_id
    case = Case(query, name)
    insights: list[Insight] = []
    recommendations: list[Recommendation] = []
    for rule_name, needs, also, function in _RULES:
        if any(shape not in shaped for shape in needs):
            continue
        arguments = [shaped.get(shape, ("", None)) for shape in (*needs, *also)]
        datasets = [dataset for dataset, _ in arguments if dataset]
        for one in function(case, *(shape for _, shape in arguments)):
            if one.priority == "":
                insights.append(
                    Insight(rule=rule_name, text=one.text, datasets=datasets, figures=one.figures)
                )
            else:
                recommendations.append(
                    Recommendation(rule=rule_name, text=one.text, datasets=datasets, priority=one.priority)
                )
    place = {name: index for index, name in enumerate(found)}
    insights.sort(key=lambda entry: place[entry.datasets[0]])
    recommendations.sort(key=lambda entry: (entry.priority != "high", place[entry.datasets[0]]))
    if failed:
        insights.extend(_coverage(found, failed))
    return Conclusions(insights=insights, recommendations=recommendations)


def _coverage(found: Mapping[str, Any], failed: Mapping[str, str]) -> Iterator[Insight]:
    total = len(found) + len(failed)
    yield Insight(
        rule="coverage",
        text=f"This rests on {len(found)} of {total} datasets; there is no data from {names(failed)}.",
        datasets=list(failed),
        figures={"found": len(found), "datasets": total},
    )


# --- for sentences ------------------------------------------------------------------------------


def clip(text: str) -> str:
    """A name from elsewhere, short enough for a sentence."""
    text = " ".join(text.split())
    return text if len(text) <= _NAME_CHARS else text[: _NAME_CHARS - 1] + "…"


def names(all: Iterable[str]) -> str:
    """``A, B and C``; of many the first ones, and how many more there are."""
    shown = [clip(name) for name in all]
    if len(shown) > _NAMES_SHOWN:
        shown[_NAMES_SHOWN:] = [f"{len(shown) - _NAMES_SHOWN} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def be(number: int) -> str:
    """``is`` of one, ``are`` of all else."""
    return "is" if number == 1 else "are"


def count(number: int, one: str, many: str = "") -> str:
    """``1 person``, ``3 people``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
