"""Client ids of anonymous clients: only the resume secret lets one connection replace another."""

import pytest

from streamd.connections import Connection, Identity, Registry
from streamd.connections.resume import ResumeSecrets
from streamd.connections.settings import ConnectionSettings
from streamd.errors import InvalidField, NotFound
from streamd.hub import SendQueue
from streamd.metrics import Metrics


@pytest.fixture
def registry() -> Registry:
    return Registry(ConnectionSettings(), Metrics(max_type_labels=5))


def admit(
    registry: Registry, client_id: str | None = "tab", *, secret: str | None = None, user: str = ""
) -> Connection:
    return registry.admit(
        "sse", Identity(user), SendQueue(8, 1000), client_id=client_id, resume_secret=secret
    )


def secret_of(registry: Registry, connection: Connection) -> str:
    secret = registry.resume_secret(connection)
    assert secret is not None
    return secret


def is_replaced(connection: Connection) -> bool:
    return connection.closing is not None and connection.closing.data["reason"] == "replaced"


async def test_a_stranger_with_the_client_id_replaces_nobody(registry: Registry) -> None:
    with admit(registry) as owner, admit(registry, "own") as stranger:
        wrong = [
            None,
            "",
            "x" * 1000,
            "\N{SNOWMAN}",
            secret_of(registry, stranger),
            secret_of(registry, owner)[:-1],
            secret_of(registry, owner) + "0",
            secret_of(registry, owner).partition(".")[0],
            owner.id,
            ResumeSecrets().issue(owner.id),
        ]
        for secret in wrong:
            with admit(registry, secret=secret) as second:
                assert owner.is_open, secret
                assert second.is_open
                assert registry.find("tab") is second  # the newest
                assert registry.find(owner.id) is owner
        assert registry.find("tab") is owner


async def test_the_secret_replaces_the_own_connection_and_no_other(registry: Registry) -> None:
    with admit(registry) as first, admit(registry) as other:
        with admit(registry, secret=secret_of(registry, first)) as second:
            assert is_replaced(first)
            assert other.is_open
            assert registry.find("tab") is second
        assert registry.find("tab") is other


async def test_the_secret_stays_the_same_for_all_connections_of_a_client(registry: Registry) -> None:
    """The answer with a new secret may be lost, and the client then brings the old one again."""
    with admit(registry) as first:
        secret = secret_of(registry, first)
    with admit(registry, secret=secret) as second:  # the first one has left before
        assert secret_of(registry, second) == secret
        with admit(registry, secret=secret) as third:
            assert is_replaced(second)
            assert third.is_open


async def test_the_secret_of_one_client_id_is_useless_for_another(registry: Registry) -> None:
    with admit(registry, "a") as a, admit(registry, "b") as b:
        with admit(registry, "b", secret=secret_of(registry, a)):
            assert b.is_open
            assert a.is_open


async def test_the_secret_of_another_process_is_none(registry: Registry) -> None:
    other = Registry(ConnectionSettings(), Metrics(max_type_labels=5))
    with admit(registry) as first:
        pass
    with admit(other, secret=secret_of(registry, first)) as second:
        assert secret_of(other, second) != secret_of(registry, first)


async def test_only_anonymous_clients_with_a_client_id_have_a_secret(registry: Registry) -> None:
    with admit(registry, None) as unnamed, admit(registry, user="ann") as known, admit(registry) as named:
        assert registry.resume_secret(unnamed) is None
        assert registry.resume_secret(known) is None
        assert len(secret_of(registry, named)) <= 128


async def test_a_secret_is_in_no_status_list_or_log_line(registry: Registry) -> None:
    with admit(registry) as connection:
        mac = secret_of(registry, connection).partition(".")[2]
        assert mac
        for shown in (connection.status(), connection.identify(), connection.account(), connection):
            assert mac not in repr(shown)


async def test_a_connection_id_addresses_one_connection_and_cannot_be_claimed(registry: Registry) -> None:
    with admit(registry) as victim, admit(registry) as stranger:
        with pytest.raises(InvalidField):
            admit(registry, victim.id)
        assert registry.find(victim.id) is victim
        assert registry.find(stranger.id) is stranger
        registry.close(victim.id)
        assert not victim.is_open
        assert stranger.is_open


async def test_a_user_addresses_own_connections_only(registry: Registry) -> None:
    with admit(registry, user="ann") as ann, admit(registry, user="bob") as bob:
        assert registry.find("tab", user="ann") is ann
        assert registry.find(bob.id, user="bob") is bob
        with pytest.raises(NotFound):
            registry.find(bob.id, user="ann")
        with pytest.raises(NotFound):
            registry.find("tab")  # of anonymous clients
