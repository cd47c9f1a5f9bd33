"""Following a task: the snapshot, the messages after it, and the end of the stream."""

from trio.testing import MockClock

from streamd.client import Connected, ReceivedEvent, Reconnecting, TaskClient
from streamd.testing import RunningServer
from tests.support.fake_streamd import FakeStreamd, cursor_of, refuse, respond_as


async def test_a_late_follower_gets_the_state_and_the_last_message(streamd_server: RunningServer) -> None:
    tasks = streamd_server.streamd.tasks
    task = await tasks.create("far", worker="w")
    await tasks.complete(task.id, {"a": 1}, lease=task.lease)
    await streamd_server.streamd.publish("elsewhere", "the head of the log is not the task's position")
    events: list[ReceivedEvent] = []
    async with TaskClient(streamd_server.url).follow(task.id) as subscription:
        async for item in subscription:
            if isinstance(item, ReceivedEvent):
                events.append(item)
            elif isinstance(item, Reconnecting):
                break
    assert [event.type for event in events] == ["status", "complete"]
    # The state of an ended task has no id: a client that has only that must ask for the end again.
    assert ("", subscription.cursor) == (events[0].id, events[1].id)


async def test_a_connection_lost_before_the_snapshot_starts_without_a_cursor(
    server: FakeStreamd, clock: MockClock
) -> None:
    body = b'event: connected\ndata: {"head": "1700000000009-000000"}\n\n'
    stream = respond_as("text/event-stream", body)
    state = b"id: 1700000000005-000000\nevent: status\ndata: {}\n\n"
    server.script.extend([stream, respond_as("text/event-stream", body + state), refuse(204)])
    client = TaskClient(server.url)
    async with client.follow("a/b") as subscription:
        kinds = [type(item) async for item in subscription]
    assert kinds == [Connected, Reconnecting, Connected, ReceivedEvent, Reconnecting]
    assert [cursor_of(request) for request in server.requests] == [None, None, "1700000000005-000000"]
    assert {request.path for request in server.requests} == {"/tasks/a%2Fb/events"}
