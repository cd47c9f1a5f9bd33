"""Rules about people: decision makers, their levels and fields, and their contact data."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from ..roles import Field, Level, Role, read_role
from ..shapes import ContactCompleteness, HiringTrend, People, Person
from .engine import Case, Conclusion, be, clip, count, insight, names, recommend, rule

_NEW: Final = timedelta(days=365)
_FEW_REACHABLE_PERCENT: Final = 75.0
_DECIDING_FIELDS: Final = (Field.FINANCE, Field.TECHNOLOGY, Field.OPERATIONS, Field.PURCHASING)


def _read(people: People) -> list[tuple[Person, Role]]:
    return [(person, read_role(person.title)) for person in people.people]


def best_counterparts(caller: Role, people: People) -> list[tuple[Person, Role]]:
    """Sort people by their suitability as a contact: nearest level first, then the caller's field.

    Of two levels at the same distance the higher one comes first, because it can decide.
    """
    return sorted(
        _read(people),
        key=lambda entry: (
            abs(entry[1].level - caller.level),
            entry[1].field is not caller.field,
            -entry[1].level,
            entry[0].name,
        ),
    )


@rule(People)
def counterparts(case: Case, people: People) -> Iterator[Conclusion]:
    """Find people at the caller's level."""
    if not people.people:
        yield insight(f"No decision maker of {case.company} is known.", known=0, at_level=0)
        return
    ranked = best_counterparts(case.role, people)
    level = case.role.level
    equal = [person for person, role in ranked if role.level is level]
    known = count(len(ranked), "person known", "people known")
    if equal:
        yield insight(
            f"Of {known} at {case.company}, {len(equal)} {be(len(equal))} at your level ({level.words}): "
            f"{names(person.name for person in equal)}.",
            known=len(ranked),
            at_level=len(equal),
            level=level.words,
        )
    else:
        yield insight(
            f"Of {known} at {case.company}, none is at your level ({level.words}); "
            f"{clip(ranked[0][0].name)} is nearest ({ranked[0][1].level.words}).",
            known=len(ranked),
            at_level=0,
            level=level.words,
        )
    first, role = ranked[0]
    reasons = [
        f"at your level ({role.level.words})"
        if role.level is level
        else f"nearest to your level ({role.level.words})"
    ]
    if role.field is case.role.field:
        reasons.append(f"in your field ({role.field})")
    yield recommend(
        f"As {case.caller}, begin with {clip(first.name)}, {clip(first.title)}: {' and '.join(reasons)}.",
        urgent=role.level is level,
    )


@rule(People)
def same_field(case: Case, people: People) -> Iterator[Conclusion]:
    """Find people in the caller's field, and the highest of them."""
    alike = [entry for entry in _read(people) if entry[1].field is case.role.field]
    if not alike or case.role.field is Field.GENERAL:  # also the field of unknown titles
        return
    alike.sort(key=lambda entry: (-entry[1].level, entry[0].name))
    yield insight(
        f"{count(len(alike), 'person', 'people')} at {case.company} "
        f"{'works' if len(alike) == 1 else 'work'} in {case.role.field}, as you do: "
        f"{names(person.name for person, _ in alike)}.",
        field=str(case.role.field),
        people=len(alike),
    )
    top, role = alike[0]
    if role.level - case.role.level >= 2:
        yield recommend(
            f"{clip(top.name)} ({clip(top.title)}) decides in your field, and stands well above you: take a "
            f"{Level(role.level - 1).words} or somebody higher of {clip(case.query.user_company)} along."
        )


@rule(People)
def missing_fields(case: Case, people: People) -> Iterator[Conclusion]:
    """Find fields that decide on a purchase, and have no known decision maker."""
    covered = {role.field for _, role in _read(people) if role.level >= Level.DIRECTOR}
    missing = [field for field in _DECIDING_FIELDS if field not in covered]
    if not people.people or not missing:
        return
    yield insight(
        f"Nobody from director upwards is known at {case.company} in {names(missing)}.",
        fields=[str(field) for field in missing],
    )
    if Field.FINANCE in missing:
        yield recommend(f"Find out who decides about money at {case.company} before you speak of a price.")


@rule(People)
def newcomers(_case: Case, people: People) -> Iterator[Conclusion]:
    """Find people who took their position within a year before the date of the data."""
    new = [person for person in people.people if person.since and people.as_of - person.since <= _NEW]
    if not new:
        return
    new.sort(key=lambda person: (-(person.since or people.as_of).toordinal(), person.name))
    yield insight(
        f"New in their position within the year before {people.as_of}: {names(p.name for p in new)}.",
        people=len(new),
    )
    yield recommend(
        f"Ask {clip(new[0].name)} ({clip(new[0].title)}, since {new[0].since}) what is to change: those who "
        "are new look at suppliers afresh."
    )


@rule(ContactCompleteness, also=(People,))
def contact_gaps(case: Case, contacts: ContactCompleteness, people: People | None) -> Iterator[Conclusion]:
    """Find people without contact data, above all the best counterpart."""
    if not contacts.people:
        return
    yield insight(
        f"{contacts.percent:g}% of the {count(contacts.people, 'person', 'people')} known at {case.company}"
        f" can be reached: {contacts.with_email} by e-mail, {contacts.with_phone} by telephone.",
        percent=contacts.percent,
        unreachable=len(contacts.unreachable),
    )
    best = best_counterparts(case.role, people)[0][0] if people and people.people else None
    if best is not None and best.name in contacts.unreachable:
        yield recommend(
            f"Find an address or a number of {clip(best.name)} first: the best to begin with, and not to be "
            "reached with what is known.",
            urgent=True,
        )
    elif contacts.percent < _FEW_REACHABLE_PERCENT:
        yield recommend(f"Complete the contacts of {names(contacts.unreachable)}.")


@rule(People, HiringTrend)
def growing_team(case: Case, people: People, trend: HiringTrend) -> Iterator[Conclusion]:
    """Find the head of the department with the most open positions."""
    if not trend.departments or not trend.openings:
        return
    department = next(iter(trend.departments))
    field = read_role(department).field
    leading = sorted(
        (entry for entry in _read(people) if entry[1].field is field and entry[1].level >= Level.MANAGER),
        key=lambda entry: (-entry[1].level, entry[0].name),
    )
    if field is Field.GENERAL or not leading:
        return
    person = leading[0][0]
    yield insight(
        f"{clip(person.name)} ({clip(person.title)}) leads where {case.company} hires most: "
        f"{trend.departments[department]} of {trend.openings} openings are in {clip(department)}.",
        department=department,
        openings=trend.departments[department],
    )
