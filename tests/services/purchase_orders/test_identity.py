"""The merchant of a request, by its query and by a token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from streamd.auth import EVERYBODY, Caller
from streamd.errors import InvalidField
from streamd.events import Pattern
from streamd.services.purchase_orders import CallersMerchant
from streamd.services.purchase_orders.identity import check_merchant


class Request:
    def __init__(self, *merchants: str) -> None:
        self.args = MultiDict([("merchantId", merchant) for merchant in merchants])


def test_the_query_names_the_merchant() -> None:
    assert CallersMerchant().merchant(Request("shop.example"), EVERYBODY) == "shop.example"
    assert CallersMerchant("other").merchant(Request("shop"), EVERYBODY) == "shop"
    assert CallersMerchant("other").merchant(Request(), EVERYBODY) == "other"


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
        CallersMerchant().merchant(Request(*merchants), EVERYBODY)
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


def test_a_token_names_the_merchant() -> None:
    caller = Caller(merchant="shop")
    assert CallersMerchant("other").merchant(Request(), caller) == "shop"
    assert CallersMerchant("other").merchant(Request("elsewhere"), caller) == "elsewhere"  # checked next
    with pytest.raises(InvalidField):
        CallersMerchant().merchant(Request(), Caller(merchant="a:b"))
