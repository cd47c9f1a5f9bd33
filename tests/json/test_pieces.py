"""Large texts are checked in pieces: with the same outcome, and no piece is much larger than a limit."""

import json
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.errors import InvalidBody
from streamd.json import check_json, inspect_json, inspection_steps, is_large
from streamd.json.pieces import PIECE_BYTES, Pieces
from streamd.steps import run_at_once
from tests.support.json_texts import FAULTS, JsonFault
from tests.support.strategies import json_values

SIZES = st.integers(1, 60)


def is_accepted(text: bytes, step_bytes: int) -> bool:
    try:
        run_at_once(inspection_steps(text, noun="the body", step_bytes=step_bytes))
    except InvalidBody:
        return False
    return True


def count_steps(text: bytes) -> int:
    """Count the steps up to the end or the fault."""
    steps = inspection_steps(text, noun="the body")
    count = 1
    try:
        for count, _ in enumerate(steps, start=2):  # noqa: B007 - it is returned
            pass
    except InvalidBody:
        pass
    return count


@given(json_values, st.sampled_from([None, 0, 3]), SIZES)
def test_each_piece_of_a_valid_text_is_valid(value: Any, indent: int | None, size: int) -> None:
    text = json.dumps(value, indent=indent).encode()
    for piece in Pieces(text, size):
        json.loads(piece.text)
    assert is_accepted(text, size)


fragments = st.lists(
    st.sampled_from(
        [
            *"[]{},:",
            '"a"',
            '"a":1',
            '"b":',
            '"\\\\"',
            '"\\"',
            '"',
            "1",
            "1.5e3",
            "-",
            " ",
            '",",',
            "tru",
            "true",
        ]
    ),
    max_size=30,
).map("".join)


@given(fragments, SIZES)
@example("[1,]", 1)
@example("[,1]", 1)
@example("[1,,2]", 1)
@example("[1],2", 1)
@example('{"a":1,}', 1)
@example('{"a":[1,"b":2]}', 1)
@example('["a,","b', 1)
def test_a_text_is_valid_exactly_if_its_pieces_are(text: str, size: int) -> None:
    raw = text.encode()
    assert is_accepted(raw, size) == is_accepted(raw, 1000)


members = st.recursive(
    st.sampled_from(["1", '":,"', "null"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[ {','.join(items)}]")
        | st.lists(st.tuples(st.sampled_from("abcdef"), inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f'"{name}" :{value}' for name, value in pairs) + "}"
        )
    ),
    max_leaves=12,
)


@given(members, SIZES)
@example('{"a":1,"b":[1,{"a":1}],"a":1}', 1)
@example('[{"a":1},{"a":1}]', 1)
@example('{"a":{"b":1,"c":{}},"d":{"b":1},"c":2}', 1)
def test_a_name_that_an_object_repeats_in_another_piece_is_found(text: str, size: int) -> None:
    raw = text.encode()
    assert is_accepted(raw, size) == is_accepted(raw, 10_000)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_behind_the_first_piece_is_refused(fault: JsonFault) -> None:
    before = b'["' + b"x" * PIECE_BYTES + b'",'
    for text in (before + fault.text + b"]", before * 3 + fault.text + b"]]]"):
        assert is_large(text)
        with pytest.raises(InvalidBody):
            check_json(text)


def test_the_position_of_a_fault_is_that_in_the_whole_text() -> None:
    valid = b'{"a":[' + b"1," * 50_000
    with pytest.raises(InvalidBody) as refused:
        check_json(valid + b"?")
    assert refused.value.detail.endswith(f"(byte {len(valid)})")
    with pytest.raises(InvalidBody) as refused:
        check_json(valid + b'"\xff"]}')
    assert refused.value.detail.endswith(f"(byte {len(valid) + 1})")


def test_a_large_text_is_compact_if_all_its_pieces_are() -> None:
    items = b"1," * PIECE_BYTES
    assert inspect_json(b"[" + items + b"1]", noun="the body")
    assert not inspect_json(b"[" + items + b"1 ]", noun="the body")
    assert not inspect_json(b"[ " + items + b"1]", noun="the body")


ITEMS = {
    "numbers": b"1",
    "arrays": b"[" * 60 + b"]" * 60,
    "objects": b'{"a":[{}]}',
    "strings": b'"a,\\"b"',
    "long": b'"' + b"x" * 10_000 + b'"',
}


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_no_piece_is_larger_than_the_limit(item: bytes) -> None:
    text = b'{"a":[' + b",".join(repeat(item, 400_000 // len(item))) + b"]}"
    pieces = [piece.text for piece in Pieces(text)]
    assert max(map(len, pieces)) < PIECE_BYTES + 100  # and the brackets around it
    assert count_steps(text) > len(text) / PIECE_BYTES


def test_names_of_a_large_object_are_known_across_its_pieces() -> None:
    names = [f'"{number}":{number}' for number in range(20_000)]
    assert is_accepted(f"{{{','.join(names)}}}".encode(), PIECE_BYTES)
    with pytest.raises(InvalidBody, match="has an object with two members of one name"):
        check_json(f"{{{','.join(chain(names, names[:1]))}}}")


@pytest.mark.parametrize("unit", [b"[", b'"', b'""', b"[]", b'{"":', b"1,", b"],"])
def test_a_large_text_that_is_no_json_is_refused_after_few_steps(unit: bytes) -> None:
    assert not is_accepted(unit * 100_000, PIECE_BYTES)
    assert count_steps(unit * 100_000) <= 3
    first = next(iter(Pieces(unit * 100_000)))
    assert len(first.text) <= 2 * PIECE_BYTES
