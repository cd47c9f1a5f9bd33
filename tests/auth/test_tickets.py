"""Tickets: their text, their lifetime, and the caller that redeems one."""

import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.auth import EVERYBODY, NOBODY, AuthSettings, Caller, Grant, TaskScope, Tickets
from streamd.auth.stored_caller import decode_caller, encode_caller
from streamd.auth.tickets.memory import MemoryTicketStore
from streamd.auth.tickets.port import TicketLimits
from streamd.errors import InvalidToken, TooLarge, TooManyRequests
from streamd.events import Pattern, Selectors
from tests.support.auth_clock import AuthClock, make_caller


class RecordingStore(MemoryTicketStore):
    """A store that keeps what it is given, and can be made to return something else.

    Attributes:
        given: all that was stored or looked up.
        damaged: returned in place of a record.
    """

    def __init__(self, clock: AuthClock) -> None:
        super().__init__(clock=clock)
        self.given: list[Any] = []
        self.damaged: bytes | None = None

    async def put(self, digest: str, record: bytes, owner: str, seconds: float) -> None:
        self.given += [digest, record, owner]
        await super().put(digest, record, owner, seconds)

    async def take(self, digest: str) -> bytes | None:
        self.given.append(digest)
        record = await super().take(digest)
        return record if self.damaged is None else self.damaged


@pytest.fixture
def clock() -> AuthClock:
    return AuthClock()


@pytest.fixture
def store(clock: AuthClock) -> RecordingStore:
    return RecordingStore(clock)


@pytest.fixture
def tickets(store: RecordingStore, clock: AuthClock) -> Tickets:
    return Tickets(store, AuthSettings(), clock)


async def test_a_ticket_is_redeemed_once_by_the_caller_it_was_created_for(
    tickets: Tickets, clock: AuthClock
) -> None:
    caller = make_caller(
        merchant="shop.example",
        grant=Grant(
            Selectors(["a*", "b"], [Pattern("a*"), Pattern("c/**")]),
            Selectors(patterns=[Pattern("*")]),
            TaskScope.OWN,
        ),
        issued_at=clock() - 5,
        expires_at=clock() + 3600.5,
    )
    ticket = await tickets.create(caller)
    assert ticket.expires_at == clock() + 30
    assert await tickets.redeem(ticket.text) == caller
    with pytest.raises(InvalidToken, match="redeemed"):
        await tickets.redeem(ticket.text)


@pytest.mark.parametrize("caller", [EVERYBODY, NOBODY])
async def test_a_caller_without_a_token_keeps_its_grant(tickets: Tickets, caller: Caller) -> None:
    assert await tickets.redeem((await tickets.create(caller)).text) == caller


async def test_a_token_without_a_user_and_an_id_fills_the_store_for_nobody_else(tickets: Tickets) -> None:
    nameless = Caller(merchant="7", key="k")
    for _ in range(TicketLimits().of_owner):
        await tickets.create(nameless)
    with pytest.raises(TooManyRequests):
        await tickets.create(nameless)
    await tickets.create(Caller(merchant="8", key="k"))


async def test_the_text_is_recognisable_and_never_the_same(tickets: Tickets) -> None:
    texts = {(await tickets.create(make_caller(user=f"u{n}"))).text for n in range(200)}
    assert len(texts) == 200
    secrets = [re.fullmatch(r"streamd-ticket-([A-Za-z0-9_-]+)", text) for text in texts]
    assert all(secret is not None and len(secret[1]) * 6 >= 128 for secret in secrets)


async def test_only_the_digest_of_a_ticket_is_stored_or_shown(
    tickets: Tickets, store: RecordingStore
) -> None:
    ticket = await tickets.create(make_caller())
    await tickets.redeem(ticket.text)
    secret = ticket.text.removeprefix("streamd-ticket-")
    assert len(store.given) == 4
    assert not any(secret in repr(each) for each in [*store.given, ticket])


@pytest.mark.parametrize("change", [str.upper, str.strip, lambda text: text[:-1], lambda text: text + "A"])
async def test_another_text_redeems_nothing(tickets: Tickets, change: Any) -> None:
    ticket = await tickets.create(make_caller())
    text = change(ticket.text)
    if text != ticket.text:
        with pytest.raises(InvalidToken):
            await tickets.redeem(text)
    assert await tickets.redeem(ticket.text) == make_caller()


@pytest.mark.parametrize(
    "text", ["", "x", "streamd-ticket-", "streamd-ticket-" + "é" * 32, "streamd-ticket-" + "a" * 31 + "\n"]
)
async def test_a_malformed_text_is_not_looked_up(tickets: Tickets, store: RecordingStore, text: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        await tickets.redeem(text)
    assert store.given == []
    assert len(text) < 2 or text not in caught.value.detail


async def test_a_ticket_expires(tickets: Tickets, clock: AuthClock) -> None:
    first, second = await tickets.create(make_caller()), await tickets.create(make_caller())
    clock.pass_seconds(29.999)
    await tickets.redeem(first.text)
    clock.pass_seconds(0.001)
    with pytest.raises(InvalidToken):
        await tickets.redeem(second.text)


async def test_changed_settings_hold_for_new_tickets(tickets: Tickets, clock: AuthClock) -> None:
    before = await tickets.create(make_caller())
    tickets.settings = AuthSettings(ticket_seconds=5)
    after = await tickets.create(make_caller())
    assert after.expires_at == clock() + 5
    clock.pass_seconds(5)
    await tickets.redeem(before.text)
    with pytest.raises(InvalidToken):
        await tickets.redeem(after.text)


async def test_a_ticket_does_not_outlive_its_token(tickets: Tickets, clock: AuthClock) -> None:
    caller = make_caller(expires_at=clock() + 10)
    ticket = await tickets.create(caller)
    assert ticket.expires_at == caller.expires_at
    clock.pass_seconds(10)
    with pytest.raises(InvalidToken):
        await tickets.redeem(ticket.text)
    with pytest.raises(InvalidToken, match="the token has expired"):
        await tickets.create(caller)


async def test_a_token_that_expired_by_a_step_of_the_clock_has_no_ticket(clock: AuthClock) -> None:
    tickets = Tickets(
        MemoryTicketStore(), AuthSettings(), clock
    )  # lifetimes by trio's clock, which is steady
    ticket = await tickets.create(make_caller(expires_at=clock() + 3600))
    clock.pass_seconds(3600)
    with pytest.raises(InvalidToken, match="the token has expired"):
        await tickets.redeem(ticket.text)


@pytest.mark.parametrize(
    "damaged", [b"", b"[]", b'{"user":1}', b'{"publish":{"patterns":["**/a"]}}', b"\xff"]
)
async def test_a_damaged_record_is_refused(tickets: Tickets, store: RecordingStore, damaged: bytes) -> None:
    ticket = await tickets.create(make_caller())
    store.damaged = damaged
    with pytest.raises(InvalidToken):
        await tickets.redeem(ticket.text)


async def test_a_grant_that_takes_too_much_memory_is_refused(tickets: Tickets, store: RecordingStore) -> None:
    grant = Grant(Selectors([f"topic/{n:050}" for n in range(400)]))
    with pytest.raises(TooLarge, match="16384"):
        await tickets.create(make_caller(grant=grant))
    assert store.given == []


@pytest.mark.parametrize(
    ("same", "other"),
    [
        ({"user": "ann"}, {"user": "bob"}),
        ({"user": "", "token_id": "ann"}, {"user": "ann", "token_id": "x"}),
        ({"user": "ann"}, {"user": "", "token_id": ""}),
    ],
)
async def test_tickets_are_bounded_for_each_user(
    tickets: Tickets, same: dict[str, str], other: dict[str, str]
) -> None:
    for _ in range(100):
        await tickets.create(make_caller(**same))
    with pytest.raises(TooManyRequests) as caught:
        await tickets.create(make_caller(**same))
    assert caught.value.retry_after_seconds == 30
    await tickets.create(make_caller(**other))


async def test_redeemed_tickets_leave_no_memory_behind(clock: AuthClock) -> None:
    store = MemoryTicketStore(clock=clock)
    tickets = Tickets(store, AuthSettings(), clock)
    waiting = [await tickets.create(make_caller(user="bob")) for _ in range(100)]
    for _ in range(3000):
        await tickets.redeem((await tickets.create(make_caller())).text)
    assert len(store._deadlines) <= 1202
    for ticket in waiting:
        await tickets.redeem(ticket.text)
    clock.pass_seconds(30)
    await tickets.create(make_caller())
    assert (len(store._tickets), len(store._of_owner), len(store._deadlines)) == (1, 1, 1)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.none() | st.floats(0, 1e11) | st.integers(0, 10**11)
SELECTORS = st.builds(
    Selectors,
    st.lists(st.text("ab*/:", min_size=1, max_size=6), max_size=3),
    st.lists(st.text("ab*/:", min_size=1, max_size=6).filter(lambda text: "**" not in text), max_size=3).map(
        lambda texts: [Pattern(text) for text in texts]
    ),
)
CALLERS = st.builds(
    Caller,
    user=TEXTS,
    merchant=TEXTS,
    grant=st.builds(Grant, SELECTORS, SELECTORS, st.sampled_from(TaskScope), admin=st.booleans()),
    token_id=TEXTS,
    issued_at=TIMES,
    expires_at=TIMES,
)


@given(CALLERS)
def test_any_caller_is_the_same_after_encoding_and_decoding(caller: Caller) -> None:
    assert decode_caller(encode_caller(caller)) == caller


@given(st.binary(max_size=40))
def test_any_bytes_are_a_caller_or_damaged(record: bytes) -> None:
    try:
        decode_caller(record)
    except ValueError:
        pass


def test_an_older_or_newer_record_is_read_with_defaults_that_grant_nothing() -> None:
    assert decode_caller(b'{"user":"ann","later":[1]}') == Caller(user="ann")


def test_each_field_of_a_caller_is_stored() -> None:
    caller = Caller(
        user="u",
        merchant="m",
        grant=Grant(Selectors(["a"]), Selectors(["b"]), TaskScope.ALL, admin=True),
        key="k",
        token_id="t",
        issued_at=1.5,
        expires_at=2.5,
    )
    defaults, stored = attrs.asdict(Caller(), recurse=False), decode_caller(encode_caller(caller))
    assert all(value != defaults[name] for name, value in attrs.asdict(stored, recurse=False).items())
    assert all(
        value != getattr(Grant(), name) for name, value in attrs.asdict(stored.grant, recurse=False).items()
    )
