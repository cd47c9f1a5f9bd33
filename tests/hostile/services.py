"""Attacks on the five services: floods of jobs, and texts that are hard to read.

Their servers have little storage, so that memory that grows in the second round is not what they keep.
"""

import itertools
from typing import Final

import trio

from tests.hostile.attack import LITTLE_STORAGE, attack
from tests.hostile.target import Target, ask_each, head, post, post_json

_ORDERS: Final = "/api/purchase-orders?merchantId=hostile"
_MENTION_TIME: Final = "2026-01-02T03:04:05Z"
_FULL_ORDER_BYTES: Final = 1_000_000
_LONG_ORDERS_SECONDS: Final = 6.0  # the first orders of a thousand lines are complete


async def _ask(target: Target, request: bytes, workers: int = 8) -> None:
    await target.together(workers, ask_each, itertools.repeat(request))


async def _order(target: Target, text: str, media_type: str = "text/plain") -> None:
    await _ask(target, post(_ORDERS, text.encode()[:_FULL_ORDER_BYTES], media_type))


async def _follow(target: Target, path: str) -> None:
    async with await target.connect() as stream:
        await stream.send_all(head("GET", path))
        while await stream.receive_some(65_536):
            pass


# --- brand monitor


def _analysis(mentions: int, text: str) -> bytes:
    said = [{"text": text, "source": "s", "time": _MENTION_TIME}] * mentions
    return post_json(
        "/api/brand-monitor/analyses", {"brand": "Acme", "competitors": ["Bolt"], "mentions": said}
    )


@attack(seconds=3.0, **LITTLE_STORAGE)
async def many_analyses(target: Target) -> None:
    """Start analyses of 2,000 mentions each, as many as are taken."""
    await _ask(target, _analysis(2000, "Acme is good, Bolt is not"))


@attack(seconds=3.0, **LITTLE_STORAGE)
async def long_mentions(target: Target) -> None:
    """Start analyses of mentions of 5,000 characters that are hard to score."""
    await _ask(target, _analysis(300, ("Acme good bad " * 500)[:5000]), workers=4)


@attack(seconds=3.0, **LITTLE_STORAGE)
async def many_mentions(target: Target) -> None:
    """Start analyses of 10,000 mentions each."""
    await _ask(target, _analysis(10_000, "Acme!"), workers=4)


# --- sentiment


def _items(count: int, text: str) -> bytes:
    return post_json("/api/v2/items", {"items": [{"ticker": "ACME", "text": text}] * count})


@attack(seconds=3.0, **LITTLE_STORAGE)
async def full_batch_of_items(target: Target) -> None:
    """Send 1,000 items of 2,000 characters each: a batch at its limits."""
    await _ask(target, _items(1000, ("good bad not " * 160)[:2000]), workers=2)


@attack(seconds=3.0, **LITTLE_STORAGE)
async def long_items(target: Target) -> None:
    """Send items of 10,000 characters, the longest there may be."""
    await _ask(target, _items(200, ("good bad not " * 800)[:10_000]), workers=4)


@attack(**LITTLE_STORAGE)
async def small_batches_of_items(target: Target) -> None:
    """Send items one at a time."""
    await _ask(target, _items(1, "good"))


@attack(**LITTLE_STORAGE)
async def item_tickers(target: Target) -> None:
    """Send items of another ticker each, beside 50 dashboards."""
    requests = (
        post_json(
            "/api/v2/items",
            {"items": [{"ticker": f"T{part}X{n}", "text": "a", "score": 0} for n in range(500)]},
        )
        for part in itertools.count()
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(target.together, 50, _follow, "/api/v2/stream")
        nursery.start_soon(target.together, 2, ask_each, requests)


@attack(**LITTLE_STORAGE)
async def emoji_items(target: Target) -> None:
    """Send items of exclamation marks, emoji and capitals, which the scorer looks at one by one."""
    await _ask(target, _items(100, ("!?" * 10 + "😀 GOOD ") * 70), workers=4)


# --- strategy


@attack(seconds=3.0, **LITTLE_STORAGE)
async def many_strategies(target: Target) -> None:
    """Ask for strategies with profiles at their limits, as many as are taken."""
    profile = {
        "business": "b" * 2000,
        "audience": "a" * 2000,
        "goals": [f"goal {number} " + "g" * 1500 for number in range(15)],
        "channels": [f"channel {number} " + "c" * 1000 for number in range(15)],
        "budget": 1000,
    }
    await _ask(target, post_json("/api/strategy", profile))


@attack(**LITTLE_STORAGE)
async def small_strategies(target: Target) -> None:
    """Ask for strategies with small profiles, as many as are taken."""
    profile = {"business": "b", "audience": "a", "goals": ["g"], "channels": ["c"], "budget": 1}
    await _ask(target, post_json("/api/strategy", profile))


# --- research


@attack(seconds=3.0, **LITTLE_STORAGE)
async def many_sessions(target: Target) -> None:
    """Start research sessions, as many as are taken."""
    fields = {"areaId": "company_overview", "companyId": "acme", "userRole": "CEO", "userCompany": "Bolt"}
    await _ask(target, post_json("/research/stream", fields))


# --- purchase orders


@attack(seconds=3.0, **LITTLE_STORAGE)
async def order_of_spaces(target: Target) -> None:
    """Send order mails of lines with long runs of spaces and digits."""
    line = "1 " + " " * 400 + "x 12,3" + "0" * 400 + "\n"
    await _order(target, line * 1200)


@attack(seconds=3.0, **LITTLE_STORAGE)
async def order_of_quotes(target: Target) -> None:
    """Send order mails of nested quotes."""
    await _order(target, "".join(">" * (number % 500) + " 5 x A-1\n" for number in range(4000)))


@attack(seconds=3.0, **LITTLE_STORAGE)
async def order_of_one_line(target: Target) -> None:
    """Send order mails of a single line of 1 MB."""
    await _order(target, "5 x A-1 " * 125_000)


@attack(seconds=3.0, **LITTLE_STORAGE)
async def order_of_reply_headers(target: Target) -> None:
    """Send order mails of lines that look like the heads of quoted mails."""
    await _order(target, "On Monday wrote From: a@b Sent: To: Subject: 5 pcs\n" * 3900)


@attack(seconds=3.0, **LITTLE_STORAGE)
async def ten_orders_of_numbers(target: Target) -> None:
    """Send order mails of 1 MB, ten at a time, whose lines take longest to read."""
    text = ("1 x " + "1 1.1.1.1 " * 28 + "\n") * 3500
    await _ask(target, post(_ORDERS, text.encode()[:_FULL_ORDER_BYTES], "text/plain"), workers=10)


@attack(seconds=_LONG_ORDERS_SECONDS, **LITTLE_STORAGE)
async def order_as_csv(target: Target) -> None:
    """Send orders as CSV of 1,000 lines with long descriptions."""
    row = "A-1,1," + "d" * 900
    await _order(target, "\n".join(["sku,qty,description", *[row] * 999]), "text/csv")


@attack(seconds=3.0, **LITTLE_STORAGE)
async def order_of_open_quotes(target: Target) -> None:
    """Send orders as CSV whose quotes never close."""
    await _order(target, 'sku,qty\n"' + 'a,""' * 200_000, "text/csv")


@attack(seconds=_LONG_ORDERS_SECONDS, **LITTLE_STORAGE)
async def order_as_json(target: Target) -> None:
    """Send orders as JSON of 1,000 lines with long descriptions."""
    line = '{"sku":"A-1","quantity":1,"description":"' + "d" * 900 + '"}'
    await _order(target, '{"lines":[' + ",".join([line] * 900) + "]}", "application/json")


@attack(**LITTLE_STORAGE)
async def many_orders(target: Target) -> None:
    """Send small orders, as many as are taken, beside 50 streams of their merchant."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(target.together, 50, _follow, "/api/realtime/events?merchantId=hostile")
        nursery.start_soon(_order, target, "sku,qty\nA-1,1\n", "text/csv")
