"""The contract of the store of revocations, run against each implementation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamd.auth.revocation import Revocation, RevocationKind, RevocationStore
from streamd.auth.revocation.port import EXPIRED_AFTER_MS
from streamd.errors import Unavailable
from tests.support.revocation_stores import DURABLE_REVOCATIONS, REVOCATION_STORES, Place

TOKEN, USER = RevocationKind.TOKEN, RevocationKind.USER
NOW = 1_800_000_000_000
HOUR = 3_600_000


def revocation(name: str, kind: RevocationKind = TOKEN, *, at: int = 0, ends: int = HOUR) -> Revocation:
    """Make a revocation; its times are relative to now (ms)."""
    return Revocation(kind, name, NOW + at, NOW + ends)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, maximum=3)


@pytest.fixture(params=REVOCATION_STORES)
async def store(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[RevocationStore]:
    async with REVOCATION_STORES[request.param](place) as store:
        yield store


async def read(store: RevocationStore) -> set[Revocation]:
    """Read all revocations, by the first reading of the store."""
    reading = await store.read()
    assert reading.is_complete
    assert len({each.key for each in reading.revocations}) == len(reading.revocations)
    return set(reading.revocations)


async def test_an_empty_store_has_no_revocations(store: RevocationStore) -> None:
    assert await read(store) == set()


async def test_what_is_added_is_read(store: RevocationStore) -> None:
    added = {
        revocation("a:b c"),
        revocation("a:b c", USER, at=5, ends=7 * HOUR),
        revocation("Ünï 'x' \"y\""),
        Revocation(USER, "far", NOW, 253_402_300_799_000),
    }
    await store.add(sorted(added, key=lambda each: each.key), NOW)
    assert await read(store) == added


async def test_revocations_of_one_key_are_merged(store: RevocationStore) -> None:
    await store.add([revocation("a", at=5, ends=HOUR)], NOW)
    await store.add([revocation("a", at=3, ends=2 * HOUR), revocation("a", USER, at=9)], NOW)
    await store.add([revocation("a", at=4, ends=HOUR)], NOW)
    assert await read(store) == {revocation("a", at=5, ends=2 * HOUR), revocation("a", USER, at=9)}


async def test_each_kind_is_bounded(store: RevocationStore) -> None:
    for name in "abc":
        await store.add([revocation(name), revocation(name, USER)], NOW)
    for kind, setting in (TOKEN, "auth.revoked_tokens"), (USER, "auth.revoked_users"):
        with pytest.raises(Unavailable, match=f"3 revocations by {kind} .*{setting}"):
            await store.add([revocation("d", kind)], NOW)
        await store.add([revocation("a", kind, ends=9 * HOUR)], NOW)
    assert {each.name for each in await read(store)} == set("abc")


async def test_expired_revocations_make_room(store: RevocationStore) -> None:
    await store.add([revocation("a", ends=1), revocation("b", ends=2), revocation("c", USER, ends=1)], NOW)
    await store.add([revocation("d"), revocation("e", ends=-EXPIRED_AFTER_MS)], NOW)
    with pytest.raises(Unavailable):
        await store.add([revocation("f")], NOW)
    at_the_end = NOW + 1 + EXPIRED_AFTER_MS
    with pytest.raises(Unavailable):
        await store.add([revocation("f", ends=2 * EXPIRED_AFTER_MS)], at_the_end - 1)
    await store.add([revocation("f", ends=2 * EXPIRED_AFTER_MS)], at_the_end)
    assert {each.name for each in await read(store)} == {"b", "d", "f"}


async def test_dropping_leaves_what_has_not_expired(store: RevocationStore) -> None:
    await store.add([revocation("a", ends=1), revocation("b", USER, ends=2)], NOW)
    await store.drop(NOW + EXPIRED_AFTER_MS)
    await store.drop(NOW + EXPIRED_AFTER_MS + 1)
    assert await read(store) == {revocation("b", USER, ends=2)}


@pytest.mark.parametrize("kind", DURABLE_REVOCATIONS)
async def test_revocations_survive_a_restart(kind: str, place: Place) -> None:
    for name in "abc":
        async with DURABLE_REVOCATIONS[kind](place) as store:
            await store.add([revocation(name)], NOW)
    async with DURABLE_REVOCATIONS[kind](place) as store:
        assert {each.name for each in await read(store)} == set("abc")
