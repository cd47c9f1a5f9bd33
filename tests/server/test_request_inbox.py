"""The body of an HTTP/2 request: joined as it arrives, and consumed as the application receives it."""

from typing import Any

import pytest
import trio
import trio.testing

from streamd.server.request_inbox import RequestInbox

DISCONNECT = {"type": "http.disconnect"}


class Body:
    """An inbox, and the number of bytes that it has reported as consumed."""

    def __init__(self) -> None:
        self.consumed = 0
        self.inbox = RequestInbox(self._consume)

    def _consume(self, size: int) -> None:
        self.consumed += size

    async def check_next(self, body: bytes, *, more_body: bool) -> None:
        message = await self.inbox.receive()
        assert message == {"type": "http.request", "body": body, "more_body": more_body}


async def test_parts_are_joined_until_they_are_received() -> None:
    body = Body()
    for part in (b"a", b"bc", b"", b"d"):
        body.inbox.append(part)
    assert body.consumed == 0
    await body.check_next(b"abcd", more_body=True)
    assert body.consumed == 4
    body.inbox.append(b"e")
    body.inbox.end()
    await body.check_next(b"e", more_body=False)
    assert body.consumed == 5


async def test_a_request_without_a_body_has_one_empty_part() -> None:
    body = Body()
    body.inbox.end()
    await body.check_next(b"", more_body=False)


async def test_an_end_without_content_is_told_once() -> None:
    body = Body()
    body.inbox.append(b"all")
    await body.check_next(b"all", more_body=True)
    body.inbox.end()
    await body.check_next(b"", more_body=False)
    await body.inbox.put(DISCONNECT)
    assert await body.inbox.receive() == DISCONNECT


async def test_receive_waits_for_the_next_part_and_for_the_disconnect() -> None:
    body = Body()
    received: list[Any] = []

    async def receive_all() -> None:
        while not received or received[-1] != DISCONNECT:
            received.append(await body.inbox.receive())

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_all)
            for number, change in enumerate((lambda: body.inbox.append(b"x"), body.inbox.end)):
                await trio.testing.wait_all_tasks_blocked()
                assert len(received) == number
                change()
            await trio.testing.wait_all_tasks_blocked()
            assert len(received) == 2
            await body.inbox.put(DISCONNECT)


async def test_what_was_received_comes_before_the_disconnect() -> None:
    body = Body()
    body.inbox.append(b"part")
    await body.inbox.put(DISCONNECT)
    await body.check_next(b"part", more_body=True)
    assert await body.inbox.receive() == DISCONNECT


async def test_a_cancelled_receive_loses_nothing() -> None:
    body = Body()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(body.inbox.receive)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    body.inbox.append(b"kept")
    await body.check_next(b"kept", more_body=True)


@pytest.mark.parametrize("content", [b"", b"whole"])
async def test_a_whole_body_is_taken_once(content: bytes) -> None:
    body = Body()
    body.inbox.append(content)
    assert body.inbox.take() is None, "it is not complete"
    body.inbox.end()
    assert body.inbox.take() == content
    assert body.consumed == len(content)
    assert body.inbox.take() is None
    await body.inbox.put(DISCONNECT)
    assert await body.inbox.receive() == DISCONNECT


def test_a_closed_inbox_consumes_all_that_arrives() -> None:
    body = Body()
    body.inbox.append(b"unread")
    body.inbox.close()
    assert body.consumed == 6
    body.inbox.append(b"late")
    assert body.consumed == 10
