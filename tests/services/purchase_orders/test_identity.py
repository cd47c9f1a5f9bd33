"""The merchant of a request, in open mode and by a token's claim."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from streamd.errors import Forbidden, InvalidField
from streamd.events.topics import Pattern
from streamd.services.purchase_orders import ClaimMerchant, OpenMerchant
from streamd.services.purchase_orders.identity import check_merchant


class Request:
    def __init__(self, *merchants: str) -> None:
        self.args = MultiDict([("merchantId", merchant) for merchant in merchants])


def test_the_query_names_the_merchant() -> None:
    assert OpenMerchant().merchant(Request("shop.example")) == "shop.example"
    assert OpenMerchant("other").merchant(Request("shop")) == "shop"
    assert OpenMerchant("other").merchant(Request()) == "other"


@pytest.mark.parametrize(
    "merchants",
    [
        [],
        [""],
        ["a:b"],
        ["a/b"],
        ["*"],
        ["a*"],
        ["a\nb"],
        ["a\u202eb"],
        [" a"],
        ["a "],
        ["a" * 129],
        ["a", "a"],
    ],
)
def test_a_query_without_a_valid_merchant_is_refused(merchants: list[str]) -> None:
    with pytest.raises(InvalidField) as refused:
        OpenMerchant().merchant(Request(*merchants))
    assert refused.value.field == "merchantId"


@given(st.text(max_size=130), st.text(max_size=130))
def test_no_merchant_id_selects_topics_of_another(one: str, other: str) -> None:
    try:
        check_merchant(one)
        check_merchant(other)
    except InvalidField:
        return
    topic = f"merchant:{one}:stage"
    assert Pattern(f"merchant:{other}:stage").matches(topic) == (one == other)
    assert topic.split(":") == ["merchant", one, "stage"]


@pytest.mark.parametrize(
    ("claims", "merchant"),
    [
        ({"dest": "https://shop.myshopify.com"}, "shop.myshopify.com"),
        ({"dest": "https://Shop.myshopify.com/admin"}, "shop.myshopify.com"),
        ({"dest": "https://shop.myshopify.com:443/"}, "shop.myshopify.com"),
        ({"dest": "plain-name"}, "plain-name"),
    ],
)
def test_a_claim_names_the_merchant(claims: dict[str, Any], merchant: str) -> None:
    assert ClaimMerchant("dest").merchant_of(claims) == merchant


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        7,
        ["a"],
        "ftp://shop",
        "https://",
        "https://user@shop",
        "https://[::1]",
        "https://[",
        "a:b",
        "*",
    ],
)
def test_a_claim_without_a_valid_merchant_is_refused(value: object) -> None:
    with pytest.raises(Forbidden) as refused:
        ClaimMerchant("dest").merchant_of({"dest": value, "sub": "shop"})
    assert refused.value.field == "dest"
