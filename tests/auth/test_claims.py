"""Claims: their names are settings, and a claim of the wrong type is an error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.auth import AuthSettings, Caller, Grant, TaskScope
from streamd.auth.claims import TokenTimes, parse_selectors, read_caller, write_claims
from streamd.errors import InvalidToken
from tests.support.tokens import NOW

TIMES = TokenTimes(NOW + 60, issued_at=NOW)


def read(claims: dict[str, Any], **settings: Any) -> Caller:
    return read_caller(claims, TIMES, AuthSettings(**settings))


def test_a_token_without_claims_grants_nothing() -> None:
    assert read({}) == Caller(issued_at=NOW, expires_at=NOW + 90)


def test_claims_become_a_caller() -> None:
    caller = read(
        {
            "sub": "ada",
            "jti": "7f3a",
            "merchant": "acme",
            "publish": ["jobs/7", "jobs:*:done"],
            "subscribe": ["orders/**", "*", "a*b"],
            "tasks": "own",
            "admin": True,
        }
    )
    assert (caller.user, caller.merchant, caller.token_id) == ("ada", "acme", "7f3a")
    grant = caller.grant
    assert grant.covers_publishing(["jobs/7", "jobs:1:done"])
    assert not grant.covers_publishing(["jobs/7", "jobs/8"])
    assert grant.subscribe.topics == {"a*b"}
    assert {pattern.text for pattern in grant.subscribe.patterns} == {"orders/**", "*"}
    assert grant.tasks is TaskScope.OWN
    assert grant.admin


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ({"streamd": {"publish": ["a"]}}, "streamd.publish"),
        ({"streamd": {"v1": {"publish": ["a"]}}}, "streamd.v1.publish"),
        ({"https://example.com/publish": ["a"]}, "https://example.com/publish"),
        ({"streamd.publish": ["a"], "streamd": {"publish": ["b"]}}, "streamd.publish"),
    ],
)
def test_a_claim_may_have_a_dotted_path(claims: dict[str, Any], names: str) -> None:
    assert read(claims, publish_claim=names).grant.publish.topics == {"a"}


@pytest.mark.parametrize("claims", [{}, {"streamd": 7}, {"streamd": ["publish"]}, {"streamd": None}])
def test_a_path_that_leads_nowhere_is_a_missing_claim(claims: dict[str, Any]) -> None:
    assert not read(claims, publish_claim="streamd.publish").grant.publish


def test_a_claim_without_a_name_is_not_read() -> None:
    caller = read({"admin": True, "": True, "sub": "ada"}, admin_claim="")
    assert not caller.grant.admin


def test_numbered_users_and_merchants_are_texts() -> None:
    caller = read({"sub": 7, "merchant": 42})
    assert (caller.user, caller.merchant) == ("7", "42")


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"sub": True}, "the claim sub must be text of 1 to 256"),
        ({"sub": 1.5}, "the claim sub must be text"),
        ({"sub": ["ada"]}, "the claim sub must be text"),
        ({"sub": {}}, "the claim sub must be text"),
        ({"sub": ""}, "the claim sub must be printable text of 1 to 256"),
        ({"sub": "a" * 257}, "the claim sub must be printable text of 1 to 256"),
        ({"sub": "a\nb"}, "the claim sub must be printable text"),
        ({"sub": "a\u202eb"}, "the claim sub must be printable text"),
        ({"jti": 7}, "the claim jti must be text"),
        ({"jti": 7.0}, "the claim jti must be text"),
        ({"jti": False}, "the claim jti must be text"),
        ({"jti": ""}, "the claim jti must be printable text"),
        ({"merchant": ""}, "the claim merchant must be"),
        ({"merchant": "*"}, "the claim merchant must be a merchant"),
        ({"merchant": "a:b"}, "the claim merchant must be a merchant"),
        ({"merchant": "a/b"}, "the claim merchant must be a merchant"),
        ({"merchant": " a"}, "the claim merchant must be a merchant"),
        ({"merchant": "a" * 129}, "the claim merchant must be a merchant"),
        ({"merchant": "ftp://a.example"}, "the claim merchant must be a merchant"),
        ({"merchant": "https://"}, "the claim merchant must be a URL with a host"),
        ({"merchant": "https://a.example@b.example"}, "the claim merchant must be a URL with a host"),
        ({"merchant": "https://a.example\\@b.example"}, "the claim merchant must be a URL with a host"),
        ({"merchant": "https://a%2eexample"}, "the claim merchant must be a URL with a host"),
        ({"merchant": "https://[::1"}, "the claim merchant must be a URL with a host"),
        ({"merchant": "https://[::1]"}, "the claim merchant must be a merchant"),
        ({"merchant": "https://*"}, "the claim merchant must be a merchant"),
        ({"publish": "a"}, "the claim publish must be a list of at most 100"),
        ({"publish": {"a": 1}}, "the claim publish must be a list"),
        ({"publish": True}, "the claim publish must be a list"),
        ({"publish": ["a"] * 101}, "the claim publish must be a list of at most 100"),
        ({"publish": ["a", 7]}, "the claim publish[1] must be text"),
        ({"publish": [""]}, "the claim publish[0] must not be empty"),
        ({"publish": ["é" * 513]}, "the claim publish[0] is longer than 1024 bytes"),
        ({"publish": ["a\x00"]}, "the claim publish[0] must be printable text"),
        ({"subscribe": ["a", "**/b"]}, "the claim subscribe[1] has '**' before its last segment"),
        ({"tasks": True}, "the claim tasks must be 'none', 'own' or 'all'"),
        ({"tasks": "All"}, "the claim tasks must be"),
        ({"tasks": ["own"]}, "the claim tasks must be"),
        ({"tasks": "own"}, "names no user (sub)"),
        ({"admin": "true"}, "the claim admin must be true or false"),
        ({"admin": 1}, "the claim admin must be true or false"),
        ({"admin": []}, "the claim admin must be true or false"),
    ],
)
def test_a_claim_of_the_wrong_type_is_an_error(claims: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        read(claims)
    assert says in caught.value.detail


@pytest.mark.parametrize(
    ("merchant", "wanted"),
    [
        ("https://Shop.MyShopify.com", "shop.myshopify.com"),
        ("https://shop.myshopify.com/admin?x=1#y", "shop.myshopify.com"),
        ("http://shop.example:8080", "shop.example"),
        ("Shop", "Shop"),
    ],
)
def test_the_host_of_a_merchants_url_counts(merchant: str, wanted: str) -> None:
    assert read({"merchant": merchant}).merchant == wanted


def test_a_selector_with_a_wildcard_segment_is_a_pattern() -> None:
    selectors = parse_selectors(["*", "**", "a/*", "*:b", "a/**", "a*", "a/b*", "***", "a"], "x")
    assert {each.text for each in selectors.patterns} == {"*", "**", "a/*", "*:b", "a/**"}
    assert selectors.topics == {"a*", "a/b*", "***", "a"}


NAMES = st.text("abcxyz0-9._é", min_size=1, max_size=20)
SELECTORS = st.lists(st.sampled_from(["a", "*", "a/*", "b:**", "a*", "orders/7"]), max_size=5)


@given(
    user=NAMES,
    merchant=NAMES,
    publish=SELECTORS,
    subscribe=SELECTORS,
    tasks=st.sampled_from(TaskScope),
    admin=st.booleans(),
    prefix=st.sampled_from(["", "streamd.", "a.b.", "https://example.com/"]),
)
def test_written_claims_are_read_as_the_same_caller(
    user: str,
    merchant: str,
    publish: list[str],
    subscribe: list[str],
    tasks: TaskScope,
    admin: bool,
    prefix: str,
) -> None:
    names = ("user", "merchant", "publish", "subscribe", "tasks", "admin")
    claims_named: dict[str, Any] = {f"{name}_claim": prefix + name for name in names}
    settings = AuthSettings(leeway_seconds=0.0, **claims_named)
    grant = Grant(parse_selectors(publish, "p"), parse_selectors(subscribe, "s"), tasks, admin)
    caller = Caller(
        user=user, merchant=merchant, grant=grant, token_id="t", issued_at=NOW, expires_at=NOW + 5
    )
    claims = write_claims(caller, settings)
    assert read_caller(claims, TokenTimes.read(claims), settings) == caller


def test_a_grant_without_a_claim_for_it_cannot_be_written() -> None:
    caller = Caller(grant=Grant(admin=True), expires_at=NOW)
    with pytest.raises(ValueError, match=r"tuning\.auth\.admin_claim is empty"):
        write_claims(caller, AuthSettings(admin_claim=""))


def test_a_claim_inside_of_another_cannot_be_written() -> None:
    caller = Caller(user="ada", merchant="acme", expires_at=NOW)
    with pytest.raises(ValueError, match="inside of another claim"):
        write_claims(caller, AuthSettings(merchant_claim="sub.merchant"))
