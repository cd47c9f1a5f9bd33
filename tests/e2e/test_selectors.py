"""A pattern never matches topics beyond its segments."""

import httpx
import pytest
import trio

from streamd.testing import RunningServer, open_stream, run_server

ACME = ["merchant:acme:orders", "merchant:acme:progress", "merchant:acme:*"]
OTHERS = [
    "merchant:acme2:orders",
    "merchant:acm:orders",
    "merchant:ACME:orders",
    "merchant:acme:orders:7",
    "merchant:acme",
    "merchant:globex:acme:orders",
    "merchants:acme:orders",
    "xmerchant:acme:orders",
    "merchant:*:orders",
    "merchant.acme.orders",
    "merchant/acme/orders",
    "other",
]


async def _publish_all(server: RunningServer) -> None:
    for topic in [topic for pair in zip(OTHERS, ACME * 4, strict=True) for topic in pair]:
        await server.streamd.publish(topic, topic)
    await server.streamd.publish("end", "end")


@pytest.mark.parametrize("replay", [False, True])
async def test_a_merchants_pattern_matches_no_other_topic_over_sse(replay: bool) -> None:
    with trio.fail_after(30):
        async with run_server() as server:
            if replay:
                await _publish_all(server)
            async with open_stream(
                server.url,
                topics=["end"],
                patterns=["merchant:acme:*"],
                last_event_id="earliest" if replay else None,
            ) as reader:
                await reader.next_control("connected")
                if not replay:
                    await _publish_all(server)
                seen = [event.data for event in await reader.take(len(OTHERS) + 1)]
            assert seen == [*ACME * 4, "end"]


async def test_a_pattern_matches_and_an_exact_topic_is_not_parsed_by_polls() -> None:
    with trio.fail_after(30):
        async with run_server() as server, httpx.AsyncClient(base_url=server.url) as client:
            await _publish_all(server)
            query = "after=earliest&wait=0"
            by_pattern = await client.get(f"/events/poll?pattern=merchant:acme:*&{query}")
            assert [event["data"] for event in by_pattern.json()["events"]] == ACME * 4
            # An exact topic is never parsed, even if it looks like a pattern.
            by_topic = await client.get(f"/events/poll?topic=merchant:acme:*&{query}")
            assert [event["data"] for event in by_topic.json()["events"]] == ["merchant:acme:*"] * 4
