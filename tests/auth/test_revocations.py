"""Revocations: the callers that they cover, their end, changes, settings, and restarts."""

import math
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streamd.auth import EVERYBODY, NOBODY, AuthSettings, Caller, Revocations
from streamd.auth.revocation import RevocationKind
from streamd.auth.revocation.memory import MemoryRevocationStore
from streamd.database import Database
from streamd.errors import InvalidField, Unavailable
from tests.support.auth_clock import DAY, AuthClock, make_caller
from tests.support.damage import damage
from tests.support.revocation_stores import (
    DURABLE_REVOCATIONS,
    REVOCATION_STORES,
    Place,
    run_revocations,
    until_revoked,
)

YEAR = 365 * DAY


@pytest.fixture
def clock() -> AuthClock:
    return AuthClock()


@pytest.fixture
async def revocations(clock: AuthClock) -> AsyncIterator[Revocations]:
    async with run_revocations(MemoryRevocationStore(), clock) as revocations:
        yield revocations


async def test_a_token_is_revoked_by_its_id(revocations: Revocations, clock: AuthClock) -> None:
    await revocations.revoke_token("t", clock() + 3600)
    assert revocations.is_revoked(make_caller(token_id="t"))
    assert revocations.is_revoked(make_caller(user="", token_id="t", issued_at=clock() + 10))
    others = [make_caller(user="t", token_id="u"), make_caller(user="t", token_id=""), NOBODY, EVERYBODY]
    assert not any(map(revocations.is_revoked, others))


async def test_a_user_is_revoked_up_to_the_moment_and_may_go_on_with_a_later_token(
    revocations: Revocations, clock: AuthClock
) -> None:
    await revocations.revoke_user("ann")
    covered = [None, clock() - YEAR, clock() - 1, clock(), math.floor(clock()), math.nan]
    assert all(revocations.is_revoked(make_caller(issued_at=at)) for at in covered)
    assert not revocations.is_revoked(make_caller(issued_at=clock() + 0.001))
    assert not revocations.is_revoked(make_caller("bob"))
    assert not revocations.is_revoked(make_caller("", "ann"))
    clock.pass_seconds(100)
    await revocations.revoke_user("ann")
    assert revocations.is_revoked(make_caller(issued_at=clock() - 50))


async def test_a_revocation_ends_a_day_after_its_token(
    revocations: Revocations, clock: AuthClock, mock_clock: trio.testing.MockClock
) -> None:
    revoked = {
        "short": await revocations.revoke_token("short", clock() + 3600),
        "past": await revocations.revoke_token("past", clock() - YEAR),
        "unknown": await revocations.revoke_token("unknown"),
        "far": await revocations.revoke_token("far", 1e18),
        "ann": await revocations.revoke_user("ann"),
    }
    assert {name: each.until_ms - clock.ms for name, each in revoked.items() if name != "far"} == {
        "short": 3_600_000,
        "past": 0,
        "unknown": YEAR * 1000,
        "ann": YEAR * 1000,
    }
    for passed, left in [
        (DAY - 0.001, {"short", "past", "unknown", "far", "ann"}),
        (0.001, {"short", "unknown", "far", "ann"}),
        (3600, {"unknown", "far", "ann"}),
        (YEAR, {"far"}),
    ]:
        clock.pass_seconds(passed)
        mock_clock.jump(60)
        await trio.testing.wait_all_tasks_blocked()
        assert {each.name for each in revocations.list()} == left
    assert revocations.is_revoked(make_caller(token_id="far"))
    assert not revocations.is_revoked(make_caller(token_id="short"))


class FailingStore(MemoryRevocationStore):
    """A store that cannot be written.

    Attributes:
        drops: number of attempts to drop expired revocations.
        fails: True while it cannot be written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drops = 0
        self.fails = True

    async def drop(self, now_ms: int) -> None:
        self.drops += 1
        if self.fails:
            raise Unavailable("the disk is full")
        await super().drop(now_ms)


async def test_expired_revocations_are_dropped_when_the_store_can_be_written(
    clock: AuthClock, mock_clock: trio.testing.MockClock
) -> None:
    store = FailingStore()
    store.fails = False
    async with run_revocations(store, clock) as revocations:
        await revocations.revoke_token("t", clock())
        attempts = store.drops
        for passed, fails, kept in [(DAY - 1, True, 1), (1, True, 1), (0, False, 0)]:
            clock.pass_seconds(passed)
            store.fails = fails
            mock_clock.jump(60)
            await trio.testing.wait_all_tasks_blocked()
            assert len(revocations.list()) == len((await store.read()).revocations) == kept
        assert store.drops == attempts + 2


async def test_revocations_are_listed_from_the_newest(revocations: Revocations, clock: AuthClock) -> None:
    first = await revocations.revoke_token("b", clock() + 60)
    clock.pass_seconds(1)
    second = await revocations.revoke_user("a")
    third = await revocations.revoke_token("a")
    assert revocations.list() == [third, second, first]
    assert (first.kind, first.name, first.revoked_at_ms) == (RevocationKind.TOKEN, "b", clock.ms - 1000)


async def test_each_change_is_announced(revocations: Revocations, clock: AuthClock) -> None:
    version = revocations.version
    with trio.move_on_after(0):
        await revocations.wait_for_change(version)
        raise AssertionError("nothing has changed")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_revoked, revocations, make_caller())
        await trio.testing.wait_all_tasks_blocked()
        await revocations.revoke_user("ann")
    assert await revocations.wait_for_change(version) == version + 1
    await revocations.revoke_user("ann")  # at the same moment: nothing is new
    assert revocations.version == version + 1


async def test_the_settings_revoke_all_tokens_without_an_end(clock: AuthClock) -> None:
    settings = {"revoked_tokens": ["t"], "revoked_users": ["bob"]}
    later = clock() + YEAR
    async with run_revocations(MemoryRevocationStore(), clock, **settings) as revocations:
        assert revocations.is_revoked(make_caller(token_id="t", issued_at=later))
        assert revocations.is_revoked(make_caller("bob", "x", issued_at=later))
        assert not revocations.is_revoked(make_caller())
        assert revocations.list() == []
        version = revocations.version
        revocations.apply_settings(AuthSettings(revoked_tokens=["t"], revoked_users=["bob"], cookie=""))
        assert revocations.version == version
        revocations.apply_settings(AuthSettings(revoked_users=["ann"]))
        assert await revocations.wait_for_change(version) == version + 1
        assert revocations.is_revoked(make_caller(issued_at=later))
        assert not revocations.is_revoked(make_caller("bob", "t"))


@pytest.mark.parametrize("name", ["", "a\nb", "\ud800", "x" * 1001])
async def test_an_invalid_name_is_refused(revocations: Revocations, name: str) -> None:
    with pytest.raises(InvalidField) as caught:
        await revocations.revoke_token(name)
    assert caught.value.field == "token_id"
    with pytest.raises(InvalidField) as caught:
        await revocations.revoke_user(name)
    assert caught.value.field == "user"
    assert revocations.list() == []


@pytest.mark.parametrize("until", [math.inf, -math.inf, math.nan])
async def test_an_invalid_time_is_refused(revocations: Revocations, until: float) -> None:
    with pytest.raises(InvalidField) as caught:
        await revocations.revoke_token("t", until)
    assert caught.value.field == "until"


async def test_a_revocation_that_cannot_be_stored_is_not_in_force(clock: AuthClock) -> None:
    async with run_revocations(MemoryRevocationStore(maximum=1), clock) as revocations:
        await revocations.revoke_user("ann")
        with pytest.raises(Unavailable):
            await revocations.revoke_user("bob")
        assert not revocations.is_revoked(make_caller("bob"))
        assert revocations.is_revoked(make_caller("ann"))


async def test_a_damaged_row_is_left_out(clock: AuthClock, tmp_path: Path) -> None:
    place = Place(tmp_path)
    open_store = DURABLE_REVOCATIONS["sqlite:file"]
    async with open_store(place) as store, run_revocations(store, clock) as revocations:
        for user in "abc":
            await revocations.revoke_user(user)
    path = tmp_path / "revocations.db"
    damage(path, "UPDATE revocations SET until_ms = 'x' WHERE name = 'a'")
    damage(path, "UPDATE revocations SET name = CAST(x'ff' AS TEXT) WHERE name = 'b'")
    async with open_store(place) as store, run_revocations(store, clock) as revocations:
        assert [each.name for each in revocations.list()] == ["c"]


async def test_a_start_that_cannot_read_the_store_fails(clock: AuthClock, tmp_path: Path) -> None:
    async with DURABLE_REVOCATIONS["sqlite:file"](Place(tmp_path)) as store:
        database: Database = store._database  # type: ignore[attr-defined]
        await database.write(lambda connection: connection.execute("DROP TABLE revocations").fetchall())
        with pytest.RaisesGroup(pytest.RaisesExc(Unavailable), flatten_subgroups=True):
            async with run_revocations(store, clock):
                raise AssertionError("it must not start")


# --- random steps ---------------------------------------------------------------------------------------

NAMES = ["a", "b", "c"]
NODES = st.integers(0, 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("token"), NODES, st.sampled_from(NAMES), st.sampled_from([-60, 0, 60, 7200, 9 * DAY])
        ),
        st.tuples(st.just("user"), NODES, st.sampled_from(NAMES), st.just(0)),
        st.tuples(st.just("pass"), NODES, st.just(""), st.sampled_from([1, 59, 3600, DAY])),
        st.tuples(st.just("restart"), NODES, st.just(""), st.just(0)),
    ),
    max_size=15,
)
Steps = Sequence[tuple[str, int, str, float]]


@contextmanager
def jumping() -> Iterator[None]:
    """Let the intervals between two looks at Redis pass at once; connecting takes real time."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    clock.rate, clock.autojump_threshold = 0, 0.002
    yield
    clock.rate, clock.autojump_threshold = 1, math.inf


class RevocationWorld:
    """Some nodes, and a model of what is revoked.

    Args:
        kind: of the store.
        place: of the store.
        nursery: runs the nodes.
    """

    def __init__(self, kind: str, place: Place, nursery: trio.Nursery) -> None:
        self.clock = AuthClock()
        self.begin = self.clock()
        self.kind = kind
        self.place = place
        self.nursery = nursery
        self.nodes: list[Revocations] = []
        self.ends: list[trio.Event] = []  # set to end a node
        self.tokens: dict[str, float] = {}  # the latest end of each
        self.users: dict[str, float] = {}  # the latest moment of each

    async def open(self, node: int) -> None:
        """Start a node, in place of the one of this number."""
        end = trio.Event()
        self.nodes[node : node + 1] = [await self.nursery.start(self._run, end)]
        self.ends[node : node + 1] = [end]

    async def _run(self, end: trio.Event, task_status: trio.TaskStatus[Revocations]) -> None:
        async with (
            REVOCATION_STORES[self.kind](self.place) as store,
            run_revocations(store, self.clock) as revocations,
        ):
            task_status.started(revocations)
            await end.wait()

    async def take(self, step: str, node: int, name: str, seconds: float) -> None:
        """Take a step, and check the callers on its node at once, and on all others when they have heard."""
        node = node % len(self.nodes)
        if step == "token":
            until = self.clock() + seconds
            await self.nodes[node].revoke_token(name, until)
            self.tokens[name] = max(self.tokens.get(name, 0), until)
        elif step == "user":
            await self.nodes[node].revoke_user(name)
            self.users[name] = self.clock()
        elif step == "pass":
            self.clock.pass_seconds(seconds)
        elif self.kind in DURABLE_REVOCATIONS:
            self.ends[node].set()
            await self.open(node)
        self.check(self.nodes[node])
        with jumping():
            for other in self.nodes:
                for caller in self.covered():
                    await until_revoked(other, caller)
                self.check(other)

    def covered(self) -> list[Caller]:
        """Return the callers that are revoked, and whose revocation has not expired."""
        now = self.clock()
        by_token = [make_caller("", name) for name, until in self.tokens.items() if until + DAY > now]
        by_user = [
            make_caller(name, "", issued_at=at)
            for name, moment in self.users.items()
            for at in (None, moment)
        ]
        return by_token + by_user

    def check(self, node: Revocations) -> None:
        """Check each caller on a node."""
        assert all(map(node.is_revoked, self.covered()))
        for name in NAMES:
            assert name in self.tokens or not node.is_revoked(make_caller("", name))
            later = self.users.get(name, self.begin - 1) + 0.5
            assert not node.is_revoked(make_caller(name, "", issued_at=later))


def live(kind: str, count: int, steps: Steps) -> None:
    async def main(folder: Path) -> None:
        async with trio.open_nursery() as nursery:
            world = RevocationWorld(kind, Place(folder), nursery)
            for node in range(count):
                await world.open(node)
            for step in steps:
                await world.take(*step)
            for end in world.ends:
                end.set()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock=trio.testing.MockClock(rate=1))


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_any_steps_revoke_as_the_model_does_in_memory(steps: Steps) -> None:
    live("memory", 1, steps)


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_any_steps_and_restarts_revoke_as_the_model_does_in_sqlite(steps: Steps) -> None:
    live("sqlite:file", 1, steps)


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_any_steps_and_restarts_revoke_as_the_model_does_on_two_nodes(steps: Steps) -> None:
    live("redis", 2, steps)
