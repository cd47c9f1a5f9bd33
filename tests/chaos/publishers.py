"""Publishers: single events, arrays and NDJSON, with keys and retries or with neither."""

import random
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import httpx
import msgspec
import trio

from tests.chaos.history import Sent
from tests.chaos.world import World

TOPICS: Final = tuple(f"chaos/{letter}" for letter in "abcdef")
_TYPES: Final = ("message", "stage", "price")
_MAX_BATCH: Final = 6
_RETRY_SECONDS: Final = 0.02  # after a refusal: a full disk does not get room by asking faster
_TIMEOUT_SECONDS: Final = 20.0  # of a request: longer than any fault holds the server up


class Publisher:
    """One publisher, which publishes one event or batch after the other.

    Args:
        world: the run.
        name: of the publisher, which is part of its tokens and keys.
    """

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._rng = world.rng(name)
        self._number = 0
        self._recent: deque[Sent] = deque(maxlen=20)  # acknowledged ones with a key

    async def run(self) -> NoReturn:
        """Publish while the gate is open, until cancelled."""
        async with httpx.AsyncClient(base_url=self._world.proxy.url, timeout=_TIMEOUT_SECONDS) as http:
            while True:
                async with self._world.gate.work():
                    await self._publish(http)

    async def _publish(self, http: httpx.AsyncClient) -> None:
        rng = self._rng
        keyed = rng.random() < 0.7
        way = rng.choice((self._send_single, self._send_single, self._send_array, self._send_lines))
        count = 1 if way == self._send_single else rng.randint(1, _MAX_BATCH)
        array = self._number if way == self._send_array else None
        sent = [self._new(keyed, array) for _ in range(count)]
        if keyed and way != self._send_array and self._recent and rng.random() < 0.15:
            # A client that does not know that it has published this already.
            sent[0] = rng.choice([known for known in self._recent if known.array is None] or sent[:1])
        for item in sent:
            self._world.history.sent[item.token] = item
        missing = sent
        while missing:
            await self._world.until_up()
            missing = await way(http, missing)
            if not keyed:
                return
            if missing:
                await trio.sleep(_RETRY_SECONDS)
        self._recent.extend(sent)

    def _new(self, keyed: bool, array: int | None) -> Sent:
        rng, world = self._rng, self._world
        self._number += 1
        token = f"{self._name}-{self._number}"
        topics = tuple(rng.sample(TOPICS, 2 if rng.random() < 0.2 else 1))
        padding = "é" * rng.choice((0, 10, 200, 3000))
        data = f"{token}\n{padding}" if rng.random() < 0.3 else {"token": token, "padding": padding}
        group = None if array is None else hash_of(self._name, array)
        return Sent(
            token,
            topics,
            rng.choice(_TYPES),
            data,
            world.stamp(),
            keyed,
            group,
            number_of_round=world.number_of_round,
        )

    # --- the three ways; each returns the events that are neither acknowledged nor refused for good ----

    async def _send_single(self, http: httpx.AsyncClient, sent: Sequence[Sent]) -> list[Sent]:
        [item] = sent
        fields, headers = fields_of(item), {}
        if item.keyed and self._rng.random() < 0.5:
            headers["Idempotency-Key"] = fields.pop("idempotency_key")
        answer = await self._post(http, sent, json=fields, headers=headers)
        if answer is None:
            return list(sent)
        self._acknowledge(item, answer.json()["id"])
        return []

    async def _send_array(self, http: httpx.AsyncClient, sent: Sequence[Sent]) -> list[Sent]:
        answer = await self._post(http, sent, json=[fields_of(item) for item in sent])
        if answer is None:
            return list(sent)
        for item, id in zip(sent, answer.json()["ids"], strict=True):
            self._acknowledge(item, id)
        return []

    async def _send_lines(self, http: httpx.AsyncClient, sent: Sequence[Sent]) -> list[Sent]:
        body = b"".join(msgspec.json.encode(fields_of(item)) + b"\n" for item in sent)
        missing = dict(enumerate(sent, 1))
        try:
            headers = {"Content-Type": "application/x-ndjson"}
            async with http.stream("POST", "/events", content=body, headers=headers) as answer:
                if not self._is_published(answer.status_code, sent):
                    return list(sent)
                async for line in answer.aiter_lines():
                    self._take_line(msgspec.json.decode(line), missing)
        except httpx.TransportError:
            for item in missing.values():
                item.unknown += 1
            return list(missing.values())
        return [item for item in missing.values() if item.keyed]

    def _take_line(self, fields: dict[str, Any], missing: dict[int, Sent]) -> None:
        item = missing[fields["line"]]
        if "id" in fields:
            del missing[fields["line"]]
            self._acknowledge(item, fields["id"])
        else:
            self._is_published(fields["error"]["status"], [item])

    # --- outcomes -----------------------------------------------------------------------------

    async def _post(
        self, http: httpx.AsyncClient, sent: Sequence[Sent], **request: Any
    ) -> httpx.Response | None:
        """Send a request; return the answer if the events are published."""
        try:
            answer = await http.post("/events", **request)
        except httpx.TransportError:
            for item in sent:
                item.unknown += 1
            return None
        return answer if self._is_published(answer.status_code, sent) else None

    def _is_published(self, status: int, sent: Sequence[Sent]) -> bool:
        """Return True for a status of success; record the others."""
        if status in (200, 201):
            return True
        if status == 503:
            for item in sent:
                item.refused += 1
            self._world.count_refused()
        elif status == 504:  # outcome-unknown: as a connection that was cut
            for item in sent:
                item.unknown += 1
        else:
            self._world.notes.append(f"publishing {[item.token for item in sent]} was answered {status}")
            for item in sent:
                item.unknown += 1
        return False

    def _acknowledge(self, item: Sent, id: str) -> None:
        item.acknowledge(id, self._world.stamp())
        self._world.published += 1
        self._world.count_acknowledged()


def fields_of(item: Sent) -> dict[str, Any]:
    """Build the JSON fields of an event."""
    fields: dict[str, Any] = {"type": item.type, "data": item.data}
    if len(item.topics) == 1:
        fields["topic"] = item.topics[0]
    else:
        fields["topics"] = list(item.topics)
    if item.keyed:
        fields["idempotency_key"] = f"key-{item.token}"
    return fields


def hash_of(name: str, number: int) -> int:
    """Return a number for an array that no other publisher's array has."""
    return int.from_bytes(random.Random(f"{name}:{number}").randbytes(8))


async def publish_end(world: World) -> None:
    """Publish the event that ends a part of the history, until it is acknowledged."""
    sent = world.history.sent[world.history.end_token]
    async with httpx.AsyncClient(base_url=world.proxy.url, timeout=_TIMEOUT_SECONDS) as http:
        while not sent.ids:
            await world.until_up()
            try:
                answer = await http.post("/events", json=fields_of(sent))
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                sent.acknowledge(answer.json()["id"], world.stamp())
            else:
                await trio.sleep(_RETRY_SECONDS)
