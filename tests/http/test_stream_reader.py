"""The reader of streams in ``streamd.testing``."""

from streamd.testing import open_stream, run_server


async def test_the_cursor_is_that_of_the_last_block_returned() -> None:
    async with run_server() as server:
        ids = [await server.streamd.publish("a", str(n)) for n in range(5)]
        async with open_stream(server.url, topic="a", last_event_id="earliest") as reader:
            for event_id in ids:  # which arrive in one piece
                event = await reader.next_event()
                assert event is not None
                assert reader.last_event_id == event.last_event_id == event_id
