"""The engine of the rules: each rule reads some shapes, and concludes what they mean for the caller."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs
import msgspec

from ..query import ResearchQuery
from ..roles import Role, read_role
from ..shapes import SHAPE_NAMES, ResearchProfile, Shape
from .sentences import clip, write_sentence


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """A conclusion, and the datasets that it is based on."""

    rule: str
    text: str
    datasets: list[str]
    figures: dict[str, Any]  # the values in the sentence, for programs


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """An action for the caller, and the datasets that it is based on."""

    rule: str
    text: str
    datasets: list[str]
    priority: Literal["high", "normal"]


class Conclusions(msgspec.Struct, frozen=True, kw_only=True):
    """All conclusions in the order of the area's datasets; recommendations of high priority come first."""

    insights: list[Insight]
    recommendations: list[Recommendation]


Conclusion = Insight | Recommendation


@attrs.frozen
class Case:
    """The caller and the company, as a rule sees them; writes the rule's conclusions.

    ``data/sentences.toml`` has the sentences of each rule.
    """

    query: ResearchQuery
    role: Role  # of the caller
    company: str  # its name in sentences
    data: Mapping[str, Shape]  # by the names of the shapes
    rule: str = ""
    datasets: Sequence[str] = ()  # of the shapes that the rule reads

    def insight(self, sentence: str, facts: Mapping[str, Any] | None = None, **figures: Any) -> Insight:
        """Make an insight from a sentence, its figures, and facts that it has beside them."""
        text = self._write(sentence, {**figures, **(facts or {})})
        return Insight(rule=self.rule, text=text, datasets=list(self.datasets), figures=figures)

    def recommend(self, sentence: str, *, urgent: bool = False, **facts: Any) -> Recommendation:
        """Make a recommendation from a sentence and its facts."""
        text = self._write(sentence, facts)
        priority: Literal["high", "normal"] = "high" if urgent else "normal"
        return Recommendation(rule=self.rule, text=text, datasets=list(self.datasets), priority=priority)

    def _write(self, sentence: str, facts: Mapping[str, Any]) -> str:
        caller_company = clip(self.query.user_company)
        about_case = {
            "company": self.company,
            "caller": f"{clip(self.query.user_role)} at {caller_company}",
            "caller_company": caller_company,
            "data": self.data,
        }
        return write_sentence(self.rule, sentence, self.role, {**about_case, **facts})


Rule = Callable[..., Iterable[Conclusion]]
"""Takes the case and an argument for each shape; of the shapes in ``also``, missing ones are None."""

RULES: Final[list[tuple[tuple[type[Shape], ...], tuple[type[Shape], ...], Rule]]] = []


def rule(*needs: type[Shape], also: tuple[type[Shape], ...] = ()) -> Callable[[Rule], Rule]:
    """Register a rule, which is applied if all the shapes that it needs were found."""

    def add(function: Rule) -> Rule:
        RULES.append((needs, also, function))
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
    _, profile = shaped.get(ResearchProfile, ("", None))
    company = profile.name if isinstance(profile, ResearchProfile) else query.company_id
    data = {SHAPE_NAMES[type_]: shape for type_, (_, shape) in shaped.items()}
    case = Case(query, read_role(query.user_role), clip(company), data)
    conclusions: list[Conclusion] = []
    for needs, also, function in RULES:
        if all(shape in shaped for shape in needs):
            arguments = [shaped.get(shape, ("", None)) for shape in (*needs, *also)]
            datasets = [dataset for dataset, _ in arguments if dataset]
            of_rule = attrs.evolve(case, rule=function.__name__, datasets=datasets)
            conclusions += function(of_rule, *(shape for _, shape in arguments))
    rank = {name: index for index, name in enumerate(found)}
    conclusions.sort(key=lambda entry: rank[entry.datasets[0]])
    recommendations = [entry for entry in conclusions if isinstance(entry, Recommendation)]
    recommendations.sort(key=lambda entry: entry.priority != "high")
    insights = [entry for entry in conclusions if isinstance(entry, Insight)]
    if failed:
        coverage = attrs.evolve(case, rule="coverage", datasets=list(failed))
        total = len(found) + len(failed)
        insights.append(coverage.insight("missing", {"failed": failed}, found=len(found), datasets=total))
    return Conclusions(insights=insights, recommendations=recommendations)
