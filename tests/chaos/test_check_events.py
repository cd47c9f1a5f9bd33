"""The checks of events, on histories made by hand: each kind of violation, and its lawful neighbours."""

from typing import Any

import pytest

from tests.chaos.check_events import check_events
from tests.chaos.history import (
    END_TOPIC,
    Connected,
    Delivery,
    GapNotice,
    History,
    Item,
    Life,
    Moved,
    ReaderHistory,
    Sent,
    is_match,
)
from tests.chaos.story import tell


def id_of(number: int) -> str:
    return f"{number:013d}-000000"


START, END = id_of(100), id_of(900)


class Story:
    """A history of some readers of topic ``a``. Stamps are given out in the order of the calls."""

    def __init__(self, *, durable: bool = True, readers: int = 1) -> None:
        self.history = History(durable, "end", lives=[Life(50, 60)])
        self.readers = [
            ReaderHistory(f"reader {n}", ("a", END_TOPIC), start=START, at_end=True) for n in range(readers)
        ]
        self.history.readers = self.readers
        self._stamp = 0
        self.send("end", topics=(END_TOPIC,))

    def stamp(self) -> int:
        self._stamp += 1
        return self._stamp

    def send(self, token: str, *ids: int, **fields: Any) -> Sent:
        """Send an event, which is acknowledged with the ids."""
        known: dict[str, Any] = {
            "topics": ("a",),
            "keyed": True,
            "array": None,
            "unknown": 0,
            "refused": 0,
        } | fields
        sent = Sent(
            token,
            known["topics"],
            "message",
            {"token": token},
            self.stamp(),
            known["keyed"],
            known["array"],
            unknown=known["unknown"],
            refused=known["refused"],
        )
        for id in ids:
            sent.acknowledge(id_of(id), self.stamp())
        self.history.sent[token] = sent
        return sent

    def deliver(self, id: int, token: str, *, reader: int = 0, **fields: Any) -> None:
        known = {"type": "message", "data": {"token": token}, "topics": ("a",)} | fields
        self.add(
            Delivery(id_of(id), token, known["type"], known["data"], known["topics"], self.stamp()), reader
        )

    def gap(self, requested: int, resumed_after: int) -> None:
        self.add(GapNotice(id_of(requested), id_of(resumed_after), self.stamp()))

    def add(self, item: Item, reader: int = 0) -> None:
        self.readers[reader].items.append(item)

    def kinds(self) -> list[str]:
        """End the history at each reader, check it, and return the kinds of the violations."""
        self.history.sent["end"].acknowledge(END, self.stamp())
        for number in range(len(self.readers)):
            if self.readers[number].at_end:
                self.deliver(900, "end", reader=number, topics=(END_TOPIC,))
        # The end is sent last, and must have the greatest id.
        self.history.sent["end"].first_stamp = self._stamp - len(self.readers) - 1
        violations = check_events(self.history)
        assert all(tell(violation, self.history) for violation in violations)
        return [violation.kind for violation in violations]


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def volatile() -> Story:
    return Story(durable=False)


def test_acknowledged_and_delivered_events_pass(story: Story) -> None:
    story.send("x", 200)
    story.send("y", 300, keyed=False)
    story.send("z", 400, topics=("b",))
    story.deliver(200, "x")
    story.add(Moved(id_of(250), story.stamp()))
    story.deliver(300, "y")
    assert story.kinds() == []


def test_event_that_nobody_sent_is_invented(story: Story) -> None:
    story.deliver(200, "x")
    assert story.kinds() == ["invented"]


@pytest.mark.parametrize(
    "fields", [{"data": {"token": "x", "more": 1}}, {"type": "other"}, {"topics": ("a", "b")}]
)
def test_event_with_other_content_is_invented(story: Story, fields: dict[str, Any]) -> None:
    story.send("x", 200)
    story.deliver(200, "x", **fields)
    assert story.kinds() == ["invented"]


def test_event_of_a_task_is_not_invented(story: Story) -> None:
    story.readers[0].patterns = ("tasks/**",)
    story.deliver(200, "tasks/7 1", topics=None)
    assert story.kinds() == []


def test_refused_event_is_not_delivered(story: Story) -> None:
    story.send("x", refused=2)
    story.deliver(200, "x")
    assert story.kinds() == ["refused"]


def test_event_with_an_unknown_attempt_may_exist(story: Story) -> None:
    story.send("x", unknown=1, refused=1)
    story.send("y", unknown=1)
    story.deliver(200, "x")
    assert story.kinds() == []


def test_acknowledged_event_has_the_id_of_its_delivery(story: Story) -> None:
    story.send("x", 200)
    story.deliver(201, "x")
    assert story.kinds() == ["two-events", "loss"]


@pytest.mark.parametrize("keyed", [True, False])
def test_token_becomes_one_event(story: Story, keyed: bool) -> None:
    story.send("x", unknown=2, keyed=keyed)
    story.deliver(200, "x")
    story.deliver(201, "x")
    assert story.kinds() == ["two-events"]


def test_retries_with_a_key_are_acknowledged_with_one_id(story: Story) -> None:
    story.send("x", 200, 201)
    story.deliver(200, "x")
    story.deliver(201, "x")
    assert story.kinds() == ["two-events"]


def test_new_log_does_not_know_the_keys_of_the_old_one(volatile: Story) -> None:
    volatile.history.lives.append(Life(250, 260))
    volatile.send("x", 200, 300)
    volatile.deliver(200, "x")
    volatile.deliver(300, "x")
    assert volatile.kinds() == []


def test_log_that_does_not_survive_knows_its_own_keys(volatile: Story) -> None:
    volatile.history.lives.append(Life(250, 260))
    volatile.send("x", 300, 301)
    volatile.deliver(300, "x")
    volatile.deliver(301, "x")
    assert volatile.kinds() == ["two-events"]


def test_id_belongs_to_one_event(story: Story) -> None:
    story.send("x", 200)
    story.send("y", 200)
    story.deliver(200, "x")
    assert "two-contents" in story.kinds()


def test_event_of_another_topic_is_misrouted(story: Story) -> None:
    story.send("x", 200, topics=("b",))
    story.deliver(200, "x", topics=("b",))
    assert story.kinds() == ["misrouted"]


def test_acknowledged_event_that_is_missing_is_lost(story: Story) -> None:
    story.send("x", 200)
    story.send("y", 300)
    story.deliver(300, "y")
    assert story.kinds() == ["loss"]


def test_event_that_one_reader_has_and_another_not_is_lost() -> None:
    story = Story(readers=2)
    story.send("x", unknown=1)
    story.deliver(200, "x", reader=1)
    assert story.kinds() == ["loss"]


def test_event_before_the_start_is_not_lost(story: Story) -> None:
    story.readers[0].start = id_of(300)
    story.send("x", 200)
    assert story.kinds() == []


def test_loss_in_a_gap_is_lawful_for_a_log_that_does_not_survive(volatile: Story) -> None:
    volatile.send("x", 200)
    volatile.send("y", 300)
    volatile.gap(100, 200)
    volatile.deliver(300, "y")
    assert volatile.kinds() == []


@pytest.mark.parametrize("bounds", [(200, 250), (100, 199)])
def test_loss_outside_of_gaps_is_found(volatile: Story, bounds: tuple[int, int]) -> None:
    volatile.history.lives.append(Life(bounds[1], bounds[1]))
    volatile.send("x", 200)
    volatile.send("y", 300)
    volatile.gap(*bounds)
    volatile.deliver(300, "y")
    assert volatile.kinds() == ["loss"]


def test_repeat_is_found_also_on_another_connection(story: Story) -> None:
    story.send("x", 200)
    story.deliver(200, "x")
    story.add(Connected(id_of(200), story.stamp()))
    story.deliver(200, "x")
    assert story.kinds() == ["repeat"]


def test_wrong_order_is_found(story: Story) -> None:
    story.send("x", 200)
    story.send("y", 300)
    story.deliver(300, "y")
    story.deliver(200, "x")
    assert story.kinds() == ["order"]


def test_event_behind_the_cursor_is_in_wrong_order(story: Story) -> None:
    story.send("x", 200)
    story.add(Moved(id_of(250), story.stamp()))
    story.deliver(200, "x")
    assert story.kinds() == ["order"]


def test_cursor_that_moves_back_is_in_wrong_order(story: Story) -> None:
    story.send("x", 200)
    story.deliver(200, "x")
    story.add(Moved(id_of(150), story.stamp()))
    assert story.kinds() == ["order"]


def test_log_that_survives_has_no_gap(story: Story) -> None:
    story.send("x", 200)
    story.gap(100, 200)
    assert story.kinds() == ["gap"]


def test_gap_without_a_loss_is_needless(volatile: Story) -> None:
    volatile.send("x", 200)
    volatile.gap(100, 200)
    volatile.deliver(200, "x")
    assert volatile.kinds() == ["needless-gap"]


def test_gap_at_the_beginning_of_a_process_is_lawful(volatile: Story) -> None:
    volatile.history.lives.append(Life(250, 260))
    volatile.gap(100, 255)
    assert volatile.kinds() == []


def test_gap_that_goes_back_is_needless(volatile: Story) -> None:
    volatile.history.lives.append(Life(150, 160))
    volatile.gap(200, 155)
    assert volatile.kinds() == ["needless-gap"]


def test_later_event_has_a_greater_id(story: Story) -> None:
    story.send("x", 300)
    story.send("y", 200)
    story.deliver(200, "y")
    story.deliver(300, "x")
    assert story.kinds() == ["time-order"]


def test_event_sent_after_a_head_was_seen_has_a_greater_id(story: Story) -> None:
    story.add(Connected(id_of(250), story.stamp()))
    story.send("x", 200)
    story.deliver(200, "x")
    assert story.kinds() == ["time-order"]


def test_event_sent_before_an_acknowledgement_may_have_any_id(story: Story) -> None:
    first = story.send("x")
    story.send("y", 200)
    first.acknowledge(id_of(300), story.stamp())
    story.deliver(200, "y")
    story.deliver(300, "x")
    assert story.kinds() == []


def test_array_is_in_order(story: Story) -> None:
    first, second = story.send("x", array=1), story.send("y", array=1)
    first.acknowledge(id_of(300), story.stamp())
    second.acknowledge(id_of(200), story.stamp())
    story.deliver(200, "y")
    story.deliver(300, "x")
    assert story.kinds() == ["array-order"]


def test_array_exists_as_a_whole(story: Story) -> None:
    story.send("x", array=1, unknown=1)
    story.send("y", array=1, unknown=1)
    story.deliver(200, "y")
    assert story.kinds() == ["torn-array"]


def test_reader_without_the_end_is_found(story: Story) -> None:
    story.readers[0].at_end = False
    assert story.kinds() == ["no-end"]


def test_items_after_the_end_belong_to_the_next_part(story: Story) -> None:
    story.kinds()
    story.send("x", 950)
    story.deliver(950, "x")
    rest = story.readers[0].split("end")
    assert (rest.start, [item.token for item in rest.deliveries]) == (END, ["x"])
    assert [item.token for item in story.readers[0].deliveries] == ["end"]


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/**", "a/b:c", True),
        ("*/b", "a/b", True),
        ("*/b", "a/c", False),
        ("a", "a", True),
    ],
)
def test_patterns(pattern: str, topic: str, expected: bool) -> None:
    assert is_match(pattern, topic) == expected
