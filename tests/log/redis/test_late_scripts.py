"""A script that reaches Redis after its node has given it up changes nothing."""

from streamd.log.keys import fingerprints
from streamd.log.redis import scripts
from streamd.log.redis.arguments import append_arguments
from tests.support.logs import draft
from tests.support.redis_links import open_link
from tests.support.redis_servers import new_prefix


async def test_an_append_that_is_overtaken_by_the_next_group_is_not_made() -> None:
    prefix = new_prefix()

    async def append(number: int, first: int, data: str) -> list[bytes]:
        drafts = [draft("a", data)]
        arguments = append_arguments(drafts, fingerprints(drafts), (), "", 60, "", "")
        reply: list[bytes] = await scripts.APPEND.run(link, prefix, "node", number, first, *arguments)
        return reply

    async with open_link() as link:
        await scripts.JOIN.run(link, prefix, "node", "", "0-0", "", 0)
        one = await append(1, 1, "one")
        assert one[0] == b"ok"
        assert await append(1, 1, "one") == one
        three = await append(3, 3, "three")
        assert await append(2, 1, "two") == [b"late"]
        assert await append(3, 3, "three") == three
        assert (await append(4, 3, "four"))[0] == b"ok"
        assert await link.call(b"XLEN", f"{prefix}:log:2") == 3
