"""The profile of JSON texts: which are refused, with one sentence and the path of the wrong value."""

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import InvalidBody, InvalidField
from streamd.json import (
    DEPTH_MAX,
    EncodedJson,
    check_json,
    decode_compact,
    decode_json,
    encode_json,
    encode_text,
)
from tests.support.json_texts import FAULTS, JsonFault, nested
from tests.support.strategies import json_values

PATHS = st.lists(st.integers(0, 3) | st.from_regex(r"[a-z_]{1,4}", fullmatch=True), max_size=6)


def refuse(text: bytes | str, **options: Any) -> InvalidBody:
    with pytest.raises(InvalidBody) as refused:
        check_json(text, **options)
    return refused.value


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


def repeats_a_name(text: str) -> bool:
    repeats = False

    def check(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeats
        repeats = repeats or len(dict(pairs)) < len(pairs)

    json.loads(text, object_pairs_hook=check)
    return repeats


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_has_its_sentence_and_its_field(fault: JsonFault) -> None:
    error = refuse(fault.text)
    assert error.detail == fault.sentence
    assert error.field == fault.field


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_text_and_bytes_have_the_same_faults(fault: JsonFault) -> None:
    try:
        text = fault.text.decode()
    except UnicodeDecodeError:
        return
    assert refuse(text).detail == fault.sentence


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_below_a_field_is_named_from_that_field_on(fault: JsonFault) -> None:
    if fault.field is None or "deep" in fault.name:
        assert refuse(fault.text, noun="data", field="data").field == "data"
    else:
        joint = "" if fault.field.startswith("[") else "."
        assert refuse(fault.text, noun="data", field="data").field == f"data{joint}{fault.field}"


def test_an_error_of_the_whole_text_names_the_text_and_no_field() -> None:
    error = refuse(b"", noun="the answer of shop.example")
    assert (error.field, error.detail) == (None, "the answer of shop.example is empty")


def test_a_text_with_half_of_a_surrogate_pair_is_refused() -> None:
    assert "half of a surrogate pair" in refuse('{"a": "\ud800"}').detail


@given(json_values, PATHS, st.sampled_from(["NaN", "-Infinity", "1e400", '"\\ud800"', '"\\udc00x"']))
def test_the_path_of_a_wrong_value_is_named(value: Any, path: list[str | int], wrong: str) -> None:
    """The value is wrong at the end of the path, with other values before and behind it."""
    before = json.dumps(value)
    text = wrong
    for part in reversed(path):
        if isinstance(part, int):
            text = f"[{(before + ', ') * part}{text} , {before}]"
        else:
            text = f'{{"{part}-": {before}, "{part}" : {text}}}'
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    assert refuse(text).field == (shown or None)


ITEM = b'{"ticker": "A", "text": "[{\\"\\\\"},'
LARGE_FAULTS = {
    "NaN": (b'{"score": NaN}', ".score", "is not valid JSON: invalid character (byte "),
    "name": (b'{"id": 1, "id": 2}', ".id", "has an object with two members of one name"),
    "float": (b"1e999", "", "is not valid JSON: number out of range"),
    "integer": (b"1" * 400, "", "has a number too large for a 64-bit float"),
    "half": (b'"\\ud800"', "", "has half of a surrogate pair"),
    "bytes": (b'"\xff"', "", "is not valid UTF-8 (byte "),
    "depth": (b"[" * 64 + b"]" * 64, None, "is nested deeper than 64 levels"),
}


@pytest.mark.parametrize(("item", "member", "_sentence"), LARGE_FAULTS.values(), ids=LARGE_FAULTS)
def test_a_fault_at_the_end_of_a_text_is_named(item: bytes, member: str | None, _sentence: str) -> None:
    field = refuse(b'{"items": [' + ITEM * 1500 + item + b"]}").field
    assert field == ("items" if member is None else f"items[1500]{member}")


@pytest.mark.parametrize(("item", "_member", "sentence"), LARGE_FAULTS.values(), ids=LARGE_FAULTS)
def test_a_fault_of_a_large_text_has_no_path(item: bytes, _member: str | None, sentence: str) -> None:
    """To find it takes a second a megabyte, in which nobody else is served."""
    fault = refuse(b'{"items": [' + ITEM * 30_000 + item + b"]}")
    assert fault.field is None
    assert fault.detail.startswith(f"the body {sentence}"), fault.detail


def test_long_names_are_cut() -> None:
    name = b'"' + b"n" * 100_000 + b'"'
    for text in (b"{" + name + b":1," + name + b":2}", b"{" + name + b":NaN}", b"[[{" + name + b":1e400}]]"):
        error = refuse(text)
        assert len(error.detail) <= 400
        assert len(error.field or "") <= 200


# --- depth ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nested, lambda levels: nested(levels, objects=True)])
def test_values_have_at_most_64_levels(make: Any) -> None:
    assert DEPTH_MAX == 64
    assert depth_of(check_json(make(64))) == 64
    assert refuse(make(65)).detail.endswith("is nested deeper than 64 levels")
    assert refuse(make(100_000)).detail.endswith("is nested deeper than 64 levels")


def test_levels_of_the_envelope_are_not_counted() -> None:
    text = b'{"data":' + nested(64) + b"}"
    check_json(text, envelope=1)
    error = refuse(b'{"topic":"a","data":{"x":' + nested(64) + b"}}", envelope=1)
    assert (error.field, error.detail) == ("data", "data is nested deeper than 64 levels")


def test_brackets_in_strings_are_no_levels() -> None:
    hostile = '[{"' * 200 + "\\" * 5 + '[[["'
    assert check_json(json.dumps({"text": hostile, hostile: ["]}" * 99]})) == {
        "text": hostile,
        hostile: ["]}" * 99],
    }


@given(json_values, st.integers(0, 70))
def test_levels_are_counted_exactly(value: Any, more: int) -> None:
    text = ("[" * more + json.dumps(value, indent=1) + "]" * more).encode()
    if depth_of(value) + more <= 64:
        check_json(text)
    else:
        assert "deeper than 64 levels" in refuse(text).detail


# --- repeated names -------------------------------------------------------------------------------


names = st.sampled_from(["a", "b", "\\u0061", ":", "\\u003a", '\\"', "é", "\\u00e9"])
member_lists = st.recursive(
    st.sampled_from(["1", "1.50", '":"', '"\\u003a"', '"{\\":"', "null"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[ {','.join(items)}]")
        | st.lists(st.tuples(names, inner), max_size=3).map(
            lambda members: "{" + ", ".join(f'"{name}" :{value}' for name, value in members) + "}"
        )
    ),
    max_leaves=8,
)


@given(member_lists)
def test_exactly_the_objects_with_a_repeated_name_are_refused(text: str) -> None:
    if repeats_a_name(text):
        assert "two members named" in refuse(text).detail
    else:
        assert check_json(text) == json.loads(text)


# --- what is accepted -----------------------------------------------------------------------------


@given(json_values, st.booleans(), st.sampled_from([None, 0, 3]))
def test_any_json_of_other_encoders_is_accepted(value: Any, ascii: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    assert check_json(text) == check_json(text.encode()) == json.loads(text)


@given(json_values)
def test_any_proper_prefix_of_an_array_is_refused(value: Any) -> None:
    text = json.dumps([value]).encode()
    for length in range(len(text)):
        refuse(text[:length])


@given(st.binary(max_size=60), st.binary(max_size=10))
def test_any_bytes_are_accepted_or_refused(inside: bytes, around: bytes) -> None:
    for text in (inside, around + inside, b'{"a":' + inside + b"}", b'["' + inside + b'"]'):
        try:
            check_json(text)
        except InvalidBody as error:
            assert (error.detail + (error.field or "")).encode()  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [
        b"123456789012345678901234567890",
        b"1" + b"0" * 308,
        b"-" + b"9" * 308,
        b"1.7976931348623157e308",
        b"0." + b"1" * 5000,
        b"1e" + b"0" * 400 + b"1",
        b"1e-400",
        b'"' + b"1" * 5000 + b'"',
        b'"' + b"1" * 5000 + b'e999"',
        rb'"\ud83d\ude00\\ud800"',
        b" [ 1 , 2 ]\r\n\t",
    ],
)
def test_numbers_and_texts_that_every_client_can_decode_are_accepted(text: bytes) -> None:
    assert check_json(text) == json.loads(text)


def test_a_shape_is_checked_after_the_profile() -> None:
    assert decode_json(b'["a"]', list[str]) == ["a"]
    with pytest.raises(InvalidBody, match="Expected `str`, got `int`") as refused:
        decode_json(b'["a", 5]', list[str])
    assert refused.value.field == "[1]"
    with pytest.raises(InvalidBody, match="Expected `array`, got `int`") as refused:
        decode_json(b"5", list[str])
    assert refused.value.field is None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_single_pass_takes_no_text_outside_of_the_profile(fault: JsonFault) -> None:
    assert decode_compact(fault.text, msgspec.json.Decoder()) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1} ',
        b'{"a": 1}',
        b'{"a":1.50}',
        b'{"a":1e2}',
        rb'{"a":"\u0041"}',
        b'{"a":1' + b"0" * 308 + b"}",
        b'{"a":' + nested(DEPTH_MAX) + b"}",
    ],
    ids=lambda text: text[:20],
)
def test_a_single_pass_takes_no_text_that_is_written_in_another_way(text: bytes) -> None:
    assert decode_compact(text, msgspec.json.Decoder()) is None


@given(json_values)
def test_a_single_pass_takes_what_is_encoded_within_the_profile(value: Any) -> None:
    text = msgspec.json.encode(value)
    found = decode_compact(text, msgspec.json.Decoder(), envelope=1)
    assert found == check_json(text, envelope=1)


# --- values of programs ---------------------------------------------------------------------------


def circle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("value", "field", "says"),
    [
        (object(), "data", "data must be a JSON value: "),
        ({"a": {1, object()}}, "data", "data must be a JSON value: "),
        (json.loads(nested(65)), "data", "data is nested deeper than 64 levels"),
        (circle(), "data", "data is nested deeper than 64 levels"),
        ("\ud800", "data", "data has half of a surrogate pair, "),
        ({"\ud800": 1}, "data", "data has half of a surrogate pair, "),
        (10**400, "data", "data is a number too large for a 64-bit float"),
        (10**5000, "data", "data is a number too large for a 64-bit float"),
        ({"a": [10**400]}, "data.a[0]", "data.a[0] is a number too large for a 64-bit float"),
        ({"a": {1: 2, "1": 3}}, 'data.a["1"]', 'data.a has two members named "1"'),
        ({"a": msgspec.Raw(b"NaN")}, "data.a", "data.a must be a finite number "),
        ({"a": msgspec.Raw(b"garbage")}, "data", "data is not valid JSON: expecting value (byte 5)"),
    ],
    ids=itertools.count(),
)
def test_values_of_programs_are_checked_as_texts_are(value: Any, field: str, says: str) -> None:
    with pytest.raises(InvalidField) as refused:
        encode_json(value, "data")
    assert refused.value.detail.startswith(says)
    assert refused.value.field == field


@given(json_values)
def test_any_value_of_a_program_is_encoded(value: Any) -> None:
    assert json.loads(encode_json(value, "data")) == value


def test_nan_of_a_program_becomes_null() -> None:
    assert encode_json([float("nan"), float("inf")], "data") == b"[null,null]"


def test_encoded_json_is_not_checked_again() -> None:
    assert encode_json(EncodedJson(nested(65)), "result") == nested(65)


def test_a_text_of_a_program_is_encoded_or_refused() -> None:
    assert encode_text("é", "text") == "é".encode()
    with pytest.raises(InvalidField, match="text has half of a surrogate pair") as refused:
        encode_text("\udc00", "text")
    assert refused.value.field == "text"
