"""The order in which the streams of an HTTP/2 connection send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from priority.priority import DeadlockError

from streamd.server.hypercorn_internals.stream_order import StreamOrder


def turns(order: StreamOrder, count: int) -> list[int]:
    return [next(order) for _ in range(count)]


def test_each_stream_has_its_turn() -> None:
    order = StreamOrder()
    for stream_id in (1, 3, 5):
        order.insert_stream(stream_id)
    assert turns(order, 7) == [1, 3, 5, 1, 3, 5, 1]
    order.block(3)
    assert turns(order, 4) == [5, 1, 5, 1]
    order.unblock(3)
    order.remove_stream(1)
    assert turns(order, 4) == [5, 3, 5, 3]


def test_without_a_stream_that_may_send_there_is_no_turn() -> None:
    order = StreamOrder()
    with pytest.raises(DeadlockError):
        next(order)
    order.insert_stream(1)
    order.block(1)
    with pytest.raises(DeadlockError):
        next(order)
    order.remove_stream(1)
    order.unblock(1)  # its last data may be acknowledged after its end
    order.remove_stream(1)
    with pytest.raises(DeadlockError):
        next(order)


@given(st.lists(st.tuples(st.sampled_from(["insert", "remove", "block", "unblock"]), st.integers(1, 6))))
def test_only_streams_that_may_send_have_turns_and_all_of_them_have(steps: list[tuple[str, int]]) -> None:
    order, known, active = StreamOrder(), set[int](), set[int]()
    for step, stream_id in steps:
        if step == "insert":
            order.insert_stream(stream_id)
            known.add(stream_id)
            active.add(stream_id)
        elif step == "remove":
            order.remove_stream(stream_id)
            known.discard(stream_id)
            active.discard(stream_id)
        elif step == "block":
            order.block(stream_id)
            active.discard(stream_id)
        else:
            order.unblock(stream_id)
            active |= {stream_id} & known
    assert sorted(turns(order, len(active))) == sorted(active)
