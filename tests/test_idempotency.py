"""Idempotency keys: their syntax, and the content that is the same."""

from typing import Any

import msgspec
import pytest

from streamd.errors import IdempotencyConflict, InvalidField
from streamd.idempotency import KEY_CHARS_MAX, IdempotencyKey, check_key


@pytest.mark.parametrize("text", ["k", "!~", '"quoted"', "a,b", "x" * KEY_CHARS_MAX])
def test_visible_ascii_is_a_key(text: str) -> None:
    assert check_key(text) == text


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a\n", "\0", "\x7f", "é", "\ud800", "x" * (KEY_CHARS_MAX + 1)]
)
def test_other_texts_are_rejected_by_field(text: str) -> None:
    with pytest.raises(InvalidField) as rejected:
        IdempotencyKey.create(text, None)
    assert rejected.value.field == "Idempotency-Key"


def check_same(first: Any, second: Any) -> None:
    IdempotencyKey.create("k", second).check(IdempotencyKey.create("k", first).fingerprint)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1, "b": {"c": [], "d": None}}, {"b": {"d": None, "c": []}, "a": 1}),
        (("a", [1]), ["a", (1,)]),
    ],
)
def test_the_order_of_members_has_no_meaning(first: Any, second: Any) -> None:
    check_same(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": None}, {}),
        ("1", 1),
        (["a", "b"], ["ab", ""]),
        (None, []),
        ({"n": 1}, {"n": 1.0}),  # compared as they are written
        (msgspec.Raw(b'{"a":1,"b":2}'), msgspec.Raw(b'{"b":2,"a":1}')),  # compared byte by byte
    ],
)
def test_other_content_is_a_conflict(first: Any, second: Any) -> None:
    with pytest.raises(IdempotencyConflict) as conflict:
        check_same(first, second)
    assert conflict.value.field == "Idempotency-Key"
