"""The engine of the rules: each rule reads some shapes, and concludes what they mean for the caller."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import attrs
import msgspec

from ..query import ResearchQuery
from ..roles import Role, read_role
from ..shapes import ResearchProfile, Shape

# A sentence names only this many; the finding has them all.
_NAMES_SHOWN: Final = 5
# Data from elsewhere may hold anything in place of a name.
_NAME_CHARS: Final = 80


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """A conclusion, and the datasets that it is based on."""

    rule: str = ""  # as datasets, set by the engine
    text: str
    datasets: list[str] = []
    figures: dict[str, Any] = {}  # the values in the sentence, for programs


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """An action for the caller, and the datasets that it is based on."""

    rule: str = ""
    text: str
    datasets: list[str] = []
    priority: Literal["high", "normal"]


class Conclusions(msgspec.Struct, frozen=True, kw_only=True):
    """All conclusions in the order of the area's datasets; recommendations of high priority come first."""

    insights: list[Insight]
    recommendations: list[Recommendation]


Conclusion = Insight | Recommendation


def insight(text: str, **figures: Any) -> Insight:
    """Make an insight."""
    return Insight(text=_join_lines(text), figures=figures)


def recommend(text: str, *, urgent: bool = False) -> Recommendation:
    """Make a recommendation."""
    return Recommendation(text=_join_lines(text), priority="high" if urgent else "normal")


@attrs.frozen
class Case:
    """The caller and the company, as rules see them."""

    query: ResearchQuery
    role: Role  # of the caller
    company: str  # its name in sentences

    @property
    def caller(self) -> str:
        """The caller in a sentence: ``Head of Sales at Corvane Cloud``."""
        return f"{clip(self.query.user_role)} at {clip(self.query.user_company)}"


Rule = Callable[..., Iterable[Conclusion]]
"""Takes the case and an argument for each shape; of the shapes in ``also``, missing ones are None."""

_RULES: Final[list[tuple[str, tuple[type[Shape], ...], tuple[type[Shape], ...], Rule]]] = []


def rule(*needs: type[Shape], also: tuple[type[Shape], ...] = ()) -> Callable[[Rule], Rule]:
    """Register a rule, which is applied if all the shapes that it needs were found."""

    def add(function: Rule) -> Rule:
        _RULES.append((function.__name__, needs, also, function))
        return function

    return add


def derive(
    query: ResearchQuery, found: Mapping[str, Shape | None], failed: Mapping[str, str] | None = None
) -> Conclusions:
    """Apply all rules.

    Args:
        query: the request.
        found: the shaped data by dataset, in the area's order; None for data without a shape.
        failed: the reason of the failure by dataset.
    """
    shaped = {type(shape): (name, shape) for name, shape in found.items() if shape is not None}
    profile = shaped.get(ResearchProfile)
    name = profile[1].name if profile and isinstance(profile[1], ResearchProfile) else query.company_id
    case = Case(query, read_role(query.user_role), clip(name))
    insights: list[Insight] = []
    recommendations: list[Recommendation] = []
    for rule_name, needs, also, function in _RULES:
        if any(shape not in shaped for shape in needs):
            continue
        arguments = [shaped.get(shape, ("", None)) for shape in (*needs, *also)]
        datasets = [dataset for dataset, _ in arguments if dataset]
        for one in function(case, *(shape for _, shape in arguments)):
            completed = msgspec.structs.replace(one, rule=rule_name, datasets=datasets)
            if isinstance(completed, Insight):
                insights.append(completed)
            else:
                recommendations.append(completed)
    rank = {name: index for index, name in enumerate(found)}
    insights.sort(key=lambda entry: rank[entry.datasets[0]])
    recommendations.sort(key=lambda entry: (entry.priority != "high", rank[entry.datasets[0]]))
    if failed:
        total = len(found) + len(failed)
        insights.append(
            Insight(
                rule="coverage",
                text=f"This rests on {len(found)} of {total} datasets;"
                f" there is no data from {names(failed)}.",
                datasets=list(failed),
                figures={"found": len(found), "datasets": total},
            )
        )
    return Conclusions(insights=insights, recommendations=recommendations)


# --- parts of sentences -------------------------------------------------------------------------


def clip(text: str) -> str:
    """Shorten a text from the data to the length of a name."""
    text = _join_lines(text)
    return text if len(text) <= _NAME_CHARS else text[: _NAME_CHARS - 1] + "…"


def _join_lines(text: str) -> str:
    return " ".join(text.split())


def names(all: Iterable[str]) -> str:
    """Write ``A, B and C``; of many names the first ones, and the number of the others."""
    shown = [clip(name) for name in all]
    if len(shown) > _NAMES_SHOWN:
        shown[_NAMES_SHOWN:] = [f"{len(shown) - _NAMES_SHOWN} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def be(number: int) -> str:
    """Return ``is`` for one, ``are`` for any other number."""
    return "is" if number == 1 else "are"


def count(number: int, one: str, many: str = "") -> str:
    """Write ``1 person`` or ``3 people``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
