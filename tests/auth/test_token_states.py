"""Rotations, changed settings, steps of the clock and verifications in any order, beside a model."""

from typing import Any

import attrs
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from streamd.auth.base64url import encode_base64url
from streamd.auth.tokens import TokenVerifier
from streamd.errors import InvalidToken
from tests.support.tokens import NOW, auth_settings, make_token

LEEWAY = 30
SECRETS = [f"HS256:{encode_base64url(bytes([number]) * 32)}" for number in range(4)]
AUDIENCES = ["", "a", "b"]


@attrs.frozen
class _Issued:
    """A token, and what the model needs to know of it."""

    text: str
    secret: str
    claims: dict[str, Any]


class TokenMachine(RuleBasedStateMachine):
    """A verifier with its memory of tokens, beside a model without one."""

    issued = Bundle("issued")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.settings = auth_settings(keys=SECRETS[:1], merchant_claim="sub", leeway_seconds=float(LEEWAY))
        self.verifier = TokenVerifier(self.settings, clock=lambda: self.now)

    @rule(
        target=issued,
        secret=st.sampled_from(SECRETS),
        expires_in=st.integers(-50, 200),
        begins_in=st.none() | st.integers(-100, 100),
        audience=st.sampled_from(["a", "b", ["a", "b"]]),
    )
    def issue(self, secret: str, expires_in: int, begins_in: int | None, audience: object) -> _Issued:
        claims = {"sub": "ada", "exp": self.now + expires_in, "aud": audience}
        if begins_in is not None:
            claims["nbf"] = self.now + begins_in
        return _Issued(make_token(claims, secret), secret, claims)

    @rule(keys=st.lists(st.sampled_from(SECRETS), min_size=1, unique=True))
    def rotate(self, keys: list[str]) -> None:
        self._apply(keys=keys)

    @rule(audience=st.sampled_from(AUDIENCES))
    def change_audience(self, audience: str) -> None:
        self._apply(audience=audience)

    @rule(claim=st.sampled_from(["sub", "aud"]))
    def change_claim(self, claim: str) -> None:
        self._apply(merchant_claim=claim)

    @rule(seconds=st.integers(-60, 120))
    def set_clock(self, seconds: int) -> None:
        self.now += seconds

    @rule(token=issued)
    def verify(self, token: _Issued) -> None:
        try:
            caller = trio.run(self.verifier.verify, token.text)
        except InvalidToken:
            assert not self._is_valid(token)
        else:
            assert self._is_valid(token)
            assert caller.merchant == token.claims[self.settings.merchant_claim]
            assert caller.expires_at == token.claims["exp"] + LEEWAY

    @rule(token=issued, at=st.integers(0, 10**4))
    def verify_with_another_signature(self, token: _Issued, at: int) -> None:
        head, _, signature = token.text.rpartition(".")
        at %= len(signature) - 1  # the last character has unused bits
        other = "A" if signature[at] != "A" else "B"
        with pytest.raises(InvalidToken, match="signature"):
            trio.run(self.verifier.verify, f"{head}.{signature[:at]}{other}{signature[at + 1 :]}")

    def _apply(self, **changes: Any) -> None:
        self.settings = attrs.evolve(self.settings, **changes)
        self.verifier.apply_settings(self.settings)

    def _is_valid(self, token: _Issued) -> bool:
        claims, audience = token.claims, self.settings.audience
        return (
            token.secret in self.settings.keys
            and self.now < claims["exp"] + LEEWAY
            and self.now >= claims.get("nbf", 0) - LEEWAY
            and (not audience or audience in claims["aud"])
            and (self.settings.merchant_claim != "aud" or isinstance(claims["aud"], str))
        )


TestTokenMachine = TokenMachine.TestCase
TestTokenMachine.settings = settings(max_examples=60, stateful_step_count=40)
