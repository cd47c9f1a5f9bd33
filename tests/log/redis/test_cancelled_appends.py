"""Appends that are cancelled while they wait to be sent."""

import trio

from tests.support.logs import append, draft, redis_log
from tests.support.redis_servers import new_prefix


async def test_appends_go_on_after_one_that_was_cancelled_before_it_was_sent() -> None:
    async with redis_log(new_prefix()) as log:
        for n in range(30):  # the cancellation comes before the queue sends, or after
            async with trio.open_nursery() as nursery:
                nursery.start_soon(log.append, [draft("cancelled", n)])
                await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        with trio.fail_after(30):
            assert len(await append(log, "a", "b")) == 2
