"""The checks of events: compute the violations of a history, without any I/O.

The rules, with the kinds of their violations:

===================  ===============================================================================
``invented``         each delivered event was sent by a publisher or a task, with that content
``refused``          an event whose attempts were all refused is not delivered
``two-events``       a token has one id: one event an attempt, and one for all retries with a key
``two-contents``     an id has one token
``misrouted``        a reader receives only events that it subscribed to
``loss``             each event that exists reaches each matching reader, or lies inside a gap
``repeat``           ... once
``order``            the ids and cursors that a reader sees only grow
``gap``              a log that survives its process loses nothing
``needless-gap``     another log reports a gap only for a loss or for a new process
``time-order``       an event that is sent after an id was seen has a greater id
``array-order``      the ids of an array grow
``torn-array``       of an array, all events exist or none
``no-end``           each reader reaches the end
===================  ===============================================================================

An event *exists* if it was acknowledged, or delivered to any reader.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

import attrs

from tests.chaos.history import (
    TASK_TOPICS,
    Connected,
    Delivery,
    GapNotice,
    History,
    ReaderHistory,
    Sent,
    Violation,
)


def check_events(history: History) -> list[Violation]:
    """Return all violations of a history."""
    existing = _Existing.of(history)
    return [
        *_check_contents(history),
        *_check_identities(history, existing),
        *_check_arrays(history),
        *_check_time_order(history),
        *(violation for reader in history.readers for violation in _check_reader(history, existing, reader)),
    ]


@attrs.define
class _Existing:
    """The events that exist.

    Attributes:
        tokens: by id, in the order in which they were seen.
        topics: by id, where they are known.
    """

    tokens: dict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    topics: dict[str, tuple[str, ...]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, history: History) -> "_Existing":
        existing = cls()
        for sent in history.sent.values():
            for id in sent.ids:
                existing._add(id, sent.token, sent.topics)
        for reader in history.readers:
            for item in reader.deliveries:
                known = history.sent.get(item.token)
                topics = known.topics if known else item.topics or task_topics(item.token)
                existing._add(item.id, item.token, topics)
        return existing

    def _add(self, id: str, token: str, topics: tuple[str, ...]) -> None:
        if token not in self.tokens[id]:
            self.tokens[id].append(token)
        self.topics.setdefault(id, topics)

    def ids_by_token(self) -> dict[str, list[str]]:
        ids = defaultdict(list)
        for id, tokens in self.tokens.items():
            for token in tokens:
                ids[token].append(id)
        return ids


def task_topics(token: str) -> tuple[str, ...]:
    """Return the topics of a task's event by its token, ``tasks/ID VERSION``; none of another token."""
    return (token.partition(" ")[0],) if token.startswith(TASK_TOPICS) else ()


def _check_contents(history: History) -> Iterator[Violation]:
    """Compare each delivered event with the one that was sent."""
    reported = set()
    for reader in history.readers:
        for item in reader.deliveries:
            sent = history.sent.get(item.token)
            key = (item.id, item.token)
            if sent is None:
                if not item.token.startswith(TASK_TOPICS) and key not in reported:
                    reported.add(key)
                    yield _of(item, reader, "invented", "was delivered, but nobody sent it")
            elif (difference := _difference(sent, item)) and key not in reported:
                reported.add(key)
                yield _of(item, reader, "invented", f"was delivered with other content: {difference}")
            elif not sent.ids and not sent.unknown and key not in reported:
                reported.add(key)
                yield _of(item, reader, "refused", f"was refused {sent.refused} times, and yet delivered")


def _difference(sent: Sent, item: Delivery) -> str | None:
    if item.type != sent.type:
        return f"type {item.type!r} instead of {sent.type!r}"
    if item.data != sent.data:
        return f"{item.data!r} instead of {sent.data!r}"
    if item.topics is not None and item.topics != sent.topics:
        return f"topics {item.topics} instead of {sent.topics}"
    return None


def _of(item: Delivery, reader: ReaderHistory, kind: str, text: str) -> Violation:
    return Violation(kind, f"event {item.id} ({item.token}) {text}", (item.id,), reader.name, item.token)


def _check_identities(history: History, existing: _Existing) -> Iterator[Violation]:
    """Check that tokens and ids belong together one to one."""
    for id, tokens in existing.tokens.items():
        if len(tokens) > 1:
            yield Violation("two-contents", f"event {id} is each of {tokens}", (id,), token=tokens[0])
    for token, ids in existing.ids_by_token().items():
        sent = history.sent.get(token)
        allowed = 1
        if not history.durable and (sent is None or sent.keyed):
            # A new log does not know the keys of the old one: one event in each.
            allowed = len({history.life_of(id) for id in ids})
        if len(ids) > allowed:
            acked = f", acknowledged as {sent.ids}" if sent is not None else ""
            text = f"{token} was published once and became {len(ids)} events: {sorted(ids)}{acked}"
            yield Violation("two-events", text, tuple(sorted(ids)), token=token)


def _check_arrays(history: History) -> Iterator[Violation]:
    """Check that all events of an array exist or none, in its order."""
    arrays: dict[int, list[Sent]] = defaultdict(list)
    delivered = {item.token for reader in history.readers for item in reader.deliveries}
    for sent in history.sent.values():
        if sent.array is not None:
            arrays[sent.array].append(sent)
    for parts in arrays.values():
        exist = [part for part in parts if part.ids or part.token in delivered]
        tokens = [part.token for part in parts]
        if history.durable and exist and len(exist) < len(parts):
            missing = [part.token for part in parts if part not in exist]
            text = f"of the array {tokens}, {missing} do not exist and the others do"
            yield Violation("torn-array", text, token=missing[0])
        ids = [part.ids[0] for part in parts if len(part.ids) == 1]
        if ids != sorted(ids) and (history.durable or len({history.life_of(id) for id in ids}) == 1):
            yield Violation(
                "array-order", f"the array {tokens} has the ids {ids}", tuple(ids), token=tokens[0]
            )


def _check_time_order(history: History) -> Iterator[Violation]:
    """Check that each event has a greater id than all ids that were seen before it was first sent."""
    seen: list[tuple[int, str]] = [
        (sent.acked_stamp, sent.ids[0]) for sent in history.sent.values() if sent.acked_stamp is not None
    ]
    for reader in history.readers:
        seen += [(item.stamp, item.head) for item in reader.items if isinstance(item, Connected)]
        seen += [(item.stamp, item.id) for item in reader.deliveries]
    seen.sort()
    newest, taken = "", 0
    for sent in sorted(history.sent.values(), key=lambda sent: sent.first_stamp):
        while taken < len(seen) and seen[taken][0] < sent.first_stamp:
            newest = max(newest, seen[taken][1])
            taken += 1
        for id in sent.ids:
            if id <= newest:
                text = f"{sent.token} was sent after {newest} was seen, and became {id}"
                yield Violation("time-order", text, (newest, id), token=sent.token)


def _check_reader(history: History, existing: _Existing, reader: ReaderHistory) -> Iterator[Violation]:
    if not reader.at_end:
        yield Violation("no-end", f"{reader.name} did not receive the last event", reader=reader.name)
        return
    assert reader.start is not None
    yield from _check_order(reader, reader.start)
    delivered = {item.id for item in reader.deliveries}
    end = next(item.id for item in reader.deliveries if item.token == history.end_token)
    matching = {id for id, topics in existing.topics.items() if reader.matches(topics)}
    lost = sorted(id for id in matching if reader.start < id <= end and id not in delivered)
    for id in lost:
        if not any(gap.requested < id <= gap.resumed_after for gap in reader.gaps):
            token = existing.tokens[id][0]
            text = f"event {id} ({token}) exists and is missing at {reader.name}, without a gap"
            yield Violation("loss", text, (id,), reader.name, token)
    for item in reader.deliveries:
        if item.id not in matching:
            yield _of(item, reader, "misrouted", f"does not match the subscription of {reader.name}")
    yield from _check_gaps(history, reader, lost)


def _check_order(reader: ReaderHistory, start: str) -> Iterator[Violation]:
    position, seen = start, set[str]()
    for item in reader.items:
        if isinstance(item, GapNotice | Connected):
            continue
        if isinstance(item, Delivery):
            if item.id in seen:
                yield _of(item, reader, "repeat", f"was delivered to {reader.name} again")
            elif item.id <= position:
                yield _of(item, reader, "order", f"came to {reader.name} at position {position}")
            seen.add(item.id)
        elif item.id < position:
            text = f"the cursor of {reader.name} was moved back from {position} to {item.id}"
            yield Violation("order", text, (position, item.id), reader.name)
        position = max(position, item.id)


def _check_gaps(history: History, reader: ReaderHistory, lost: list[str]) -> Iterator[Violation]:
    for gap in reader.gaps:
        bounds = f"({gap.requested}, {gap.resumed_after}]"
        ids = (gap.requested, gap.resumed_after)
        if history.durable:
            yield Violation("gap", f"{reader.name} was told a gap {bounds}", ids, reader.name)
            continue
        index = bisect_left(lost, gap.requested + "\0")
        has_loss = index < len(lost) and lost[index] <= gap.resumed_after
        ms = int(gap.resumed_after[:13])
        is_new_log = any(life.earliest_ms <= ms <= life.latest_ms for life in history.lives)
        if gap.requested >= gap.resumed_after or not (has_loss or is_new_log):
            text = f"{reader.name} was told a gap {bounds}, in which nothing was lost"
            yield Violation("needless-gap", text, ids, reader.name)
