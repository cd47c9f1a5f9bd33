"""The rights of callers: publishing, reserved topics, reading, tasks, merchants."""

import gc
import tracemalloc
import weakref

import attrs
import pytest
import trio

from streamd.auth import EVERYBODY, NOBODY, Access, AuthSettings, Caller, Credentials, Grant, TaskScope
from streamd.errors import Forbidden, InvalidToken, NotFound, ReservedTopic, Unauthorized
from streamd.events import Draft, Event, EventId, EventSettings, Selectors
from tests.support.callers import FakeProofs, selectors

ID = EventId("1700000000000-000001")


def access(*, anonymous: bool = False, proofs: FakeProofs | None = None) -> Access:
    proofs = proofs or FakeProofs()
    return Access(AuthSettings(anonymous=anonymous, jwks_url="https://keys.test"), proofs, proofs, proofs)


def event(*topics: str, private: bool = False) -> Event:
    return Event.from_draft(Draft.create(topics, "", limits=EventSettings(), private=private), ID)


def granting(**grants: object) -> Caller:
    return Caller(user="u", grant=Grant(**grants))  # type: ignore[arg-type]


# --- publishing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "topics"),
    [
        (["a"], ["a"]),
        (["a/*"], ["a/b"]),
        (["a/**"], ["a/b/c", "a/d"]),
        (["*"], ["a", "b:c", "taskss/1", "merchants:1", "tasks", "merchant"]),
        (["merchant:7:stage"], ["merchant:7:stage"]),
        (["merchant:*:stage"], ["merchant:7:stage", "merchant:8:stage"]),
        (["merchant:7:**"], ["merchant:7:stage"]),
        (["tasks/7"], ["tasks/7"]),
        (["tasks/**"], ["tasks/7", "tasks/a/b"]),
    ],
)
def test_a_grant_for_every_topic_lets_publish(granted: list[str], topics: list[str]) -> None:
    caller = granting(publish=selectors(*granted))
    access().check_publishing(caller, tuple(topics))


@pytest.mark.parametrize(
    ("granted", "topics", "error"),
    [
        ([], ["a"], Forbidden),
        (["a"], ["b"], Forbidden),
        (["a"], ["a", "b"], Forbidden),
        (["a/*"], ["a/b/c"], Forbidden),
        (["*"], ["tasks/7"], ReservedTopic),
        (["*"], ["merchant:7:stage"], ReservedTopic),
        (["*"], ["a", "merchant:7:stage"], ReservedTopic),
        (["*:*:stage"], ["merchant:7:stage"], ReservedTopic),
        (["merchant:7:stage"], ["merchant:8:stage"], ReservedTopic),
        (["merchant:7:*", "*"], ["merchant:7:a:b"], ReservedTopic),
        (["tasks/7"], ["tasks/8"], ReservedTopic),
        (["*/7"], ["tasks/7"], ReservedTopic),
    ],
)
def test_without_it_nothing_is_published(
    granted: list[str], topics: list[str], error: type[Exception]
) -> None:
    caller = granting(publish=selectors(*granted))
    with pytest.raises(error) as caught:
        access().check_publishing(caller, tuple(topics))
    assert type(caught.value) is error


@pytest.mark.parametrize("caller", [EVERYBODY, granting(admin=True, publish=selectors("*"))])
def test_nobody_publishes_on_reserved_topics_that_are_not_named(caller: Caller) -> None:
    checked = access()
    checked.reserved.add("sentiment/")
    for topic in ("tasks/1", "merchant:7:stage", "sentiment/items"):
        with pytest.raises(ReservedTopic):
            checked.check_publishing(caller, (topic,))
    checked.check_publishing(caller, ("sentiments/items",))


def test_a_caller_without_a_token_is_asked_for_one() -> None:
    with pytest.raises(Unauthorized) as caught:
        access(anonymous=True).check_publishing(NOBODY, ("a",))
    assert caught.value.code == "unauthorized"


# --- reading ------------------------------------------------------------------------------------

READER = granting(subscribe=selectors("a", "b/**"))
MERCHANT = Caller(user="u", merchant="7")


@pytest.mark.parametrize(
    ("caller", "anonymous", "topics", "private", "may"),
    [
        (READER, False, ["a"], False, True),
        (READER, False, ["a"], True, True),
        (READER, False, ["x", "b/1"], True, True),  # one topic is enough
        (READER, False, ["x"], False, False),
        (READER, True, ["x"], False, True),
        (READER, True, ["x"], True, False),
        (NOBODY, True, ["x"], False, True),
        (NOBODY, True, ["x"], True, False),
        (NOBODY, True, ["tasks/1"], False, False),
        (NOBODY, True, ["merchant:7:stage"], False, False),
        (NOBODY, True, ["merchant:7:stage", "x"], False, True),
        (MERCHANT, False, ["merchant:7:stage"], True, True),
        (MERCHANT, False, ["merchant:77:stage"], False, False),
        (MERCHANT, False, ["merchant::stage"], False, False),
        (granting(subscribe=selectors("*")), False, ["x"], True, True),
        (granting(subscribe=selectors("*")), False, ["merchant:7:stage"], False, False),
        (granting(subscribe=selectors("merchant:7:**")), False, ["merchant:7:stage"], False, False),
        (granting(subscribe=selectors("*")), False, ["tasks/1"], False, False),
        (granting(tasks=TaskScope.OWN), False, ["tasks/1"], False, False),
        (granting(tasks=TaskScope.ALL), False, ["tasks/1"], False, True),
        (granting(tasks=TaskScope.ALL), False, ["x"], False, False),
    ],
)
def test_an_event_is_read_by_those_who_may(
    caller: Caller, anonymous: bool, topics: list[str], private: bool, may: bool
) -> None:
    rights = access(anonymous=anonymous).reading_rights(caller, selectors("*"))
    assert rights is not None
    for _ in range(2):  # the second answer is remembered
        assert rights.may_read(event(*topics, private=private)) is may
        assert rights.may_read(event(*topics, private=True)) is (may and (private or not anonymous))


def test_a_reader_of_many_topics_stays_small() -> None:
    rights = access().reading_rights(granting(subscribe=selectors("*")), selectors("*"))
    assert rights is not None
    events = [event(f"orders/{number}") for number in range(10_000)]
    tracemalloc.start()
    try:
        assert all(map(rights.may_read, events))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 50_000, "each connection has one"


@pytest.mark.parametrize("caller", [NOBODY, READER])
def test_anonymous_reading_ends_with_its_setting(caller: Caller) -> None:
    checked = access(anonymous=True)
    rights = checked.reading_rights(caller, selectors("*"))
    assert rights is not None
    assert rights.may_read(event("x"))
    assert checked.still_holds(caller)
    checked.settings = attrs.evolve(checked.settings, anonymous=False)
    assert not rights.may_read(event("x"))
    assert checked.still_holds(caller) is (caller is READER)


def test_a_caller_is_checked_again_by_the_clock() -> None:
    proofs, now = FakeProofs(), 100.0
    checked = Access(AuthSettings(jwks_url="https://keys.test"), proofs, proofs, proofs, lambda: now)
    caller = Caller(user="u", expires_at=101.0)
    checked.check_again(caller)
    now = 101.0
    with pytest.raises(InvalidToken, match="expired"):
        checked.check_again(caller)


@pytest.mark.parametrize("caller", [EVERYBODY, granting(admin=True)])
def test_administrators_and_open_servers_need_no_reader(caller: Caller) -> None:
    assert access().reading_rights(caller, Selectors(["merchant:7:stage", "tasks/1"])) is None


@pytest.mark.parametrize("text", ["merchant:8:stage", "merchant:8:*", "merchant:8:**", "merchant:"])
@pytest.mark.parametrize("caller", [READER, MERCHANT, granting(tasks=TaskScope.ALL)])
def test_a_subscription_that_names_another_merchant_is_refused(caller: Caller, text: str) -> None:
    with pytest.raises(Forbidden, match="another merchant"):
        access(anonymous=True).reading_rights(caller, selectors(text))


def test_callers_with_equal_rights_share_them() -> None:
    checked, reading = access(), selectors("a/**")
    first = checked.reading_rights(Caller(user="u", grant=Grant(subscribe=reading)), selectors("x"))
    second = checked.reading_rights(Caller(user="v", grant=Grant(subscribe=reading)), selectors("y"))
    assert first is second is not None
    others = [
        Caller(user="u", merchant="7", grant=Grant(subscribe=reading)),
        Caller(user="u", grant=Grant(subscribe=reading, tasks=TaskScope.ALL)),
        Caller(user="u", grant=Grant(subscribe=selectors("b"))),
    ]
    rights = [first, *(checked.reading_rights(caller, selectors("x")) for caller in others)]
    assert len({id(each) for each in rights}) == 4


def test_own_tasks_are_read_by_their_owner_alone() -> None:
    checked, caller = access(), granting(tasks=TaskScope.OWN)
    without = checked.reading_rights(caller, selectors("tasks/1"))
    owner = checked.reading_rights(caller, selectors("tasks/1"), ["tasks/1"])
    assert without is not None
    assert owner is not None
    assert not without.may_read(event("tasks/1"))
    assert owner.may_read(event("tasks/1"))
    assert not owner.may_read(event("tasks/2"))


def test_rights_go_with_the_last_stream_that_has_them() -> None:
    checked = access()
    rights = checked.reading_rights(READER, selectors("a"))
    assert rights is not None
    seen = weakref.ref(rights)
    del rights
    gc.collect()
    assert seen() is None


def test_a_pattern_over_all_merchants_receives_its_own() -> None:
    rights = access().reading_rights(MERCHANT, selectors("merchant:*:*"))
    assert rights is not None
    assert rights.may_read(event("merchant:7:stage"))
    assert not rights.may_read(event("merchant:8:stage"))


def test_a_subscription_needs_some_right_to_read() -> None:
    with pytest.raises(Unauthorized):
        access().reading_rights(NOBODY, selectors("a"))
    with pytest.raises(Forbidden, match="grants no reading"):
        access().reading_rights(granting(publish=selectors("*")), selectors("a"))
    assert access(anonymous=True).reading_rights(NOBODY, selectors("a")) is not None


# --- tasks and merchants ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "owner", "of_merchant", "error"),
    [
        (EVERYBODY, "x", False, None),
        (granting(admin=True), "x", True, None),
        (granting(tasks=TaskScope.ALL), "x", True, None),
        (granting(tasks=TaskScope.OWN), "u", False, None),
        (granting(tasks=TaskScope.OWN), "x", False, NotFound),
        (granting(tasks=TaskScope.OWN), "", False, NotFound),
        (Caller(grant=Grant(tasks=TaskScope.OWN)), "", False, NotFound),  # a token without a user
        (granting(tasks=TaskScope.OWN), "u", True, NotFound),  # a merchant of the same name
        (granting(), "u", False, NotFound),
        (MERCHANT, "7", True, None),
        (MERCHANT, "7", False, NotFound),
        (MERCHANT, "8", True, NotFound),
        (NOBODY, "", False, Unauthorized),
    ],
)
def test_a_task_is_there_for_its_owner(
    caller: Caller, owner: str, of_merchant: bool, error: type[Exception] | None
) -> None:
    if error is None:
        access().check_task(caller, owner, of_merchant=of_merchant)
    else:
        with pytest.raises(error):
            access().check_task(caller, owner, of_merchant=of_merchant)


@pytest.mark.parametrize(
    ("caller", "error"),
    [(MERCHANT, None), (EVERYBODY, None), (READER, Forbidden), (NOBODY, Unauthorized)],
)
def test_a_merchant_is_served_by_its_own_token(caller: Caller, error: type[Exception] | None) -> None:
    if error is None:
        access().check_merchant(caller, "7")
    else:
        with pytest.raises(error):
            access().check_merchant(caller, "7")
    with pytest.raises((Forbidden, Unauthorized)):
        access().check_merchant(READER, "")


# --- credentials ------------------------------------------------------------------------------------


async def test_credentials_name_the_caller() -> None:
    proofs = FakeProofs(tokens={"t": READER}, tickets={"k": MERCHANT})
    checked = access(proofs=proofs)
    assert await checked.identify(Credentials()) is NOBODY
    assert await checked.identify(Credentials(token="t")) == READER
    assert await checked.identify(Credentials(ticket="k")) == MERCHANT
    for wrong in (Credentials(token="x"), Credentials(ticket="k"), Credentials(token="x", ticket="k")):
        with pytest.raises(InvalidToken):
            await checked.identify(wrong)
    proofs.revoked.add("u")
    with pytest.raises(InvalidToken, match="revoked"):
        await checked.identify(Credentials(token="t"))


async def test_an_open_server_asks_nobody() -> None:
    proofs = FakeProofs()
    checked = Access(AuthSettings(), proofs, proofs, proofs)
    await trio.lowlevel.checkpoint()
    assert await checked.identify(Credentials(token="whatever")) is EVERYBODY
    assert "secret" not in repr(Credentials("secret", "secret"))
