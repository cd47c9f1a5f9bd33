"""Verification of right tokens: what is remembered, and what forgets it."""

from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.auth import tokens
from streamd.auth.compact import CompactToken, parse_token
from streamd.auth.keys import KeyRing
from streamd.auth.tokens import TokenVerifier
from streamd.config import SettingsError
from streamd.errors import InvalidToken
from tests.support.tokens import NOW, OTHER_SECRET, SECRET, auth_settings, key_of, make_token


class _Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every token that is parsed, which are those that are not remembered."""
    parsed: list[str] = []

    def record(text: str, algorithms: list[str]) -> CompactToken:
        parsed.append(text)
        return parse_token(text, algorithms)

    monkeypatch.setattr(tokens, "parse_token", record)
    return parsed


async def test_a_verified_token_is_remembered_until_it_expires(
    clock: _Clock, verifications: list[str]
) -> None:
    verifier = TokenVerifier(auth_settings(), clock=clock)
    token = make_token(exp=NOW + 10)
    first = await verifier.verify(token)
    assert await verifier.verify(token) is first
    assert verifications == [token]
    clock.now = NOW + 40
    for _ in range(2):
        with pytest.raises(InvalidToken, match="expired"):
            await verifier.verify(token)
    assert verifications == [token, token]


async def test_a_refused_token_is_not_remembered(clock: _Clock) -> None:
    verifier = TokenVerifier(auth_settings(), clock=clock)
    token = make_token(nbf=NOW + 100)
    with pytest.raises(InvalidToken, match="nbf"):
        await verifier.verify(token)
    clock.now = NOW + 100
    assert (await verifier.verify(token)).user == "ada"


async def test_the_number_of_remembered_tokens_is_bounded(
    clock: _Clock, verifications: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_CACHED_TOKENS", 2)
    verifier = TokenVerifier(auth_settings(), clock=clock)
    a, b, c = (make_token(sub=name) for name in "abc")
    for token in (a, b, a, c, a, b):  # b was used least recently when c came
        await verifier.verify(token)
    assert verifications == [a, b, c, b]


async def test_a_removed_secret_no_longer_verifies(clock: _Clock) -> None:
    verifier = TokenVerifier(auth_settings(keys=[SECRET, OTHER_SECRET]), clock=clock)
    old, new = make_token(), make_token(key=OTHER_SECRET)
    assert (await verifier.verify(old)).user == (await verifier.verify(new)).user == "ada"
    verifier.apply_settings(auth_settings(keys=[OTHER_SECRET]))
    assert (await verifier.verify(new)).user == "ada"
    with pytest.raises(InvalidToken, match="signature"):
        await verifier.verify(old)


async def test_changed_claim_settings_hold_for_remembered_tokens(clock: _Clock) -> None:
    verifier = TokenVerifier(auth_settings(), clock=clock)
    token = make_token(name="lovelace")
    assert (await verifier.verify(token)).user == "ada"
    verifier.apply_settings(auth_settings(user_claim="name"))
    assert (await verifier.verify(token)).user == "lovelace"
    verifier.apply_settings(auth_settings(audience="streamd"))
    with pytest.raises(InvalidToken, match="audience"):
        await verifier.verify(token)


async def test_a_reload_with_mistakes_changes_nothing(clock: _Clock, tmp_path: Path) -> None:
    verifier = TokenVerifier(auth_settings(), clock=clock)
    before = verifier.keys
    with pytest.raises(SettingsError):
        verifier.apply_settings(auth_settings(keys=[OTHER_SECRET], key_file=str(tmp_path / "none")))
    assert verifier.keys is before
    assert (await verifier.verify(make_token())).user == "ada"


async def test_a_key_file_is_read_again(clock: _Clock, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    settings = auth_settings(keys=[], key_file=str(file))
    pems = [key_of("ES256", number)._key.as_pem() for number in (0, 1)]  # type: ignore[union-attr]
    file.write_bytes(pems[0])
    verifier = TokenVerifier(settings, clock=clock)
    token = make_token(key=key_of("ES256", 0))
    assert (await verifier.verify(token)).user == "ada"
    file.write_bytes(pems[1])
    verifier.apply_settings(settings)
    with pytest.raises(InvalidToken, match="signature"):
        await verifier.verify(token)


_SIGNERS = {name: key_of(name) for name in ("HS256", "ES256", "EdDSA", "RS256")}
_TOKENS = [make_token(key=key) for key in _SIGNERS.values()]
_CHARACTERS = st.sampled_from("ABCxyz019-_.=+/ \n\x00é")


@given(
    token=st.sampled_from(_TOKENS),
    at=st.integers(0, 10**6),
    length=st.integers(0, 4),
    replacement=st.text(_CHARACTERS, max_size=4),
)
def test_no_mutation_of_a_token_is_accepted(token: str, at: int, length: int, replacement: str) -> None:
    at %= len(token) + 1
    mutated = token[:at] + replacement + token[at + length :]
    if mutated == token:
        return
    verifier = TokenVerifier(auth_settings(keys=[]), KeyRing(tuple(_SIGNERS.values())), clock=lambda: NOW)

    async def verify() -> None:
        with pytest.raises(InvalidToken):
            await verifier.verify(mutated)

    trio.run(verify)


@given(st.text(max_size=300) | st.lists(st.text("ABCabc012-_", max_size=90), max_size=6).map(".".join))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    verifier = TokenVerifier(auth_settings(), clock=lambda: NOW)

    async def verify() -> None:
        with pytest.raises(InvalidToken):
            await verifier.verify(text)

    trio.run(verify)
