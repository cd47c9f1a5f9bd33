"""The minimal story of a violation: what was sent, acknowledged and delivered around it."""

from collections.abc import Iterator
from typing import Final

from tests.chaos.history import (
    Connected,
    Delivery,
    GapNotice,
    History,
    Item,
    Moved,
    ReaderHistory,
    Violation,
)

_AROUND: Final = 4  # items of a reader before and after the place


def tell(violation: Violation, history: History) -> str:
    """Return a few lines that tell how a violation came about."""
    return "\n".join(_lines(violation, history))


def _lines(violation: Violation, history: History) -> Iterator[str]:
    yield f"{violation.kind}: {violation.text}"
    if violation.token is not None and (sent := history.sent.get(violation.token)) is not None:
        yield (
            f"  sent: round {sent.number_of_round}, topics {sent.topics}, {'with a' if sent.keyed else 'no'}"
            f" key, array {sent.array}; acknowledged {sent.ids}, {sent.unknown} unknown,"
            f" {sent.refused} refused"
        )
    for reader in history.readers:
        if violation.reader in (None, reader.name):
            yield from _around(violation, reader)


def _around(violation: Violation, reader: ReaderHistory) -> Iterator[str]:
    """Show the items of a reader around the ids of the violation."""
    places = [index for index, item in enumerate(reader.items) if _concerns(violation, item)]
    if not places and violation.ids and violation.reader is not None:
        # The event is missing: show the place where it should be.
        wanted = violation.ids[0]
        places = [index for index, item in enumerate(reader.items) if _position(item) > wanted][:1]
        places = places or [len(reader.items) - 1]
    if not places:
        return
    first, last = max(0, places[0] - _AROUND), min(len(reader.items), places[0] + _AROUND + 1)
    yield f"  {reader.name}: topics {reader.topics}, patterns {reader.patterns}, from {reader.start}"
    for index in range(first, last):
        mark = ">" if index in places else " "
        yield f"   {mark} {index}: {_show(reader.items[index])}"


def _concerns(violation: Violation, item: Item) -> bool:
    if isinstance(item, GapNotice):
        return (item.requested, item.resumed_after) == violation.ids
    return isinstance(item, Delivery) and (item.id in violation.ids or item.token == violation.token)


def _position(item: Item) -> str:
    match item:
        case GapNotice():
            return item.resumed_after
        case Connected():
            return ""
        case Delivery() | Moved():
            return item.id


def _show(item: Item) -> str:
    match item:
        case GapNotice():
            return f"gap after {item.requested} up to {item.resumed_after} (round {item.number_of_round})"
        case Connected():
            return f"connected, head {item.head}"
        case Moved():
            return f"cursor {item.id}"
        case Delivery():
            return f"event {item.id} {item.token} (round {item.number_of_round})"
