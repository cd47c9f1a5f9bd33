"""Rules about people: decision makers, their levels and fields, and their contact data."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from ..roles import Field, Level, Role, read_role
from ..shapes import ContactCompleteness, HiringTrend, People, Person
from .engine import Case, Conclusion, rule

_NEW: Final = timedelta(days=365)
_FEW_REACHABLE_PERCENT: Final = 75.0
_DECIDING_FIELDS: Final = (Field.FINANCE, Field.TECHNOLOGY, Field.OPERATIONS, Field.PURCHASING)


def _read(people: People) -> list[tuple[Person, Role]]:
    return [(person, read_role(person.title)) for person in people.people]


def _highest_first(entry: tuple[Person, Role]) -> tuple[int, str]:
    return -entry[1].level, entry[0].name


def best_counterparts(caller: Role, people: People) -> list[tuple[Person, Role]]:
    """Sort people by their suitability as a contact: nearest level first, then the caller's field.

    Of two levels at the same distance the higher one comes first, because it can decide.
    """
    return sorted(
        _read(people),
        key=lambda entry: (
            abs(entry[1].level - caller.level),
            entry[1].field is not caller.field,
            *_highest_first(entry),
        ),
    )


@rule(People)
def counterparts(case: Case, people: People) -> Iterator[Conclusion]:
    """Find people at the caller's level."""
    if not people.people:
        yield case.insight("nobody", known=0, at_level=0)
        return
    ranked = best_counterparts(case.role, people)
    person, role = ranked[0]
    level = case.role.level
    equal = [person for person, role in ranked if role.level is level]
    yield case.insight(
        "at_level" if equal else "none_at_level",
        {"equal": equal, "nearest": person, "role": role},
        known=len(ranked),
        at_level=len(equal),
        level=level.words,
    )
    yield case.recommend("begin_with", urgent=role.level is level, person=person, role=role)


@rule(People)
def same_field(case: Case, people: People) -> Iterator[Conclusion]:
    """Find people in the caller's field, and the highest of them."""
    alike = [entry for entry in _read(people) if entry[1].field is case.role.field]
    if not alike or case.role.field is Field.GENERAL:  # also the field of unknown titles
        return
    alike.sort(key=_highest_first)
    facts = {"alike": [person for person, _ in alike]}
    yield case.insight("alike", facts, field=str(case.role.field), people=len(alike))
    top, role = alike[0]
    if role.level - case.role.level >= 2:
        yield case.recommend("take_along", top=top, companion=Level(role.level - 1))


@rule(People)
def missing_fields(case: Case, people: People) -> Iterator[Conclusion]:
    """Find fields that decide on a purchase, and have no known decision maker."""
    covered = {role.field for _, role in _read(people) if role.level >= Level.DIRECTOR}
    missing = [field for field in _DECIDING_FIELDS if field not in covered]
    if not people.people or not missing:
        return
    yield case.insight("nobody", fields=[str(field) for field in missing])
    if Field.FINANCE in missing:
        yield case.recommend("finance")


@rule(People)
def newcomers(case: Case, people: People) -> Iterator[Conclusion]:
    """Find people who took their position within a year before the date of the data."""
    new = [person for person in people.people if person.since and people.as_of - person.since <= _NEW]
    if not new:
        return
    new.sort(key=lambda person: (-(person.since or people.as_of).toordinal(), person.name))
    yield case.insight("new", {"new": new}, people=len(new))
    yield case.recommend("ask", latest=new[0])


@rule(ContactCompleteness, also=(People,))
def contact_gaps(case: Case, contacts: ContactCompleteness, people: People | None) -> Iterator[Conclusion]:
    """Find people without contact data, above all the best counterpart."""
    if not contacts.people:
        return
    yield case.insight("reachable", percent=contacts.percent, unreachable=len(contacts.unreachable))
    best = best_counterparts(case.role, people)[0][0] if people and people.people else None
    if best is not None and best.name in contacts.unreachable:
        yield case.recommend("best_unreachable", urgent=True, best=best)
    elif contacts.percent < _FEW_REACHABLE_PERCENT:
        yield case.recommend("complete")


@rule(People, HiringTrend)
def growing_team(case: Case, people: People, trend: HiringTrend) -> Iterator[Conclusion]:
    """Find the head of the department with the most open positions."""
    if not trend.departments or not trend.openings:
        return
    department = next(iter(trend.departments))
    field = read_role(department).field
    leading = [
        entry for entry in _read(people) if entry[1].field is field and entry[1].level >= Level.MANAGER
    ]
    if field is Field.GENERAL or not leading:
        return
    person, _ = min(leading, key=_highest_first)
    yield case.insight(
        "leads", {"person": person}, department=department, openings=trend.departments[department]
    )
