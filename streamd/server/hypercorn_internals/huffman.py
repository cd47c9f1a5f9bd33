"""Decoding of Huffman-coded strings (RFC 7541 section 5.2), a byte a step.

``hpack`` takes two steps a byte, which is 0.5 µs: a head of 64 kB would hold the event loop for 30 ms or
more. Its table of steps of four bits is the source of the rows here, each of which is made when it is needed.
"""

from typing import Final

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE

_Step = tuple[int, bytes]
"""The next state, and the decoded bytes."""

_FAILED: Final = 256  # a state that no step leaves
_COMPLETE: Final = {state for state, flags, _ in HUFFMAN_TABLE if flags & HUFFMAN_COMPLETE}
"""The states in which a string may end: its last bits are padding."""
_rows: Final[list[list[_Step] | None]] = [None] * _FAILED + [[(_FAILED, b"")] * 256]
_steps: Final[dict[_Step, _Step]] = {}  # equal ones are one object


def decode_huffman(coded: bytes) -> bytes:
    """Decode a string.

    Raises:
        HPACKDecodingError: it is no Huffman code, or its padding is wrong.
    """
    state = 0
    decoded = []
    for byte in coded:
        row = _rows[state] or _make_row(state)
        state, output = row[byte]
        decoded.append(output)
    if state not in _COMPLETE:
        raise HPACKDecodingError("A string is not valid Huffman code")
    return b"".join(decoded)


def _make_row(state: int) -> list[_Step]:
    """Make the steps from a state, for each byte."""
    row = []
    for byte in range(256):
        step = _take_half(_take_half((state, b""), byte >> 4), byte & 0x0F)
        row.append(_steps.setdefault(step, step))
    _rows[state] = row
    return row


def _take_half(step: _Step, bits: int) -> _Step:
    """Take a step of four bits behind another one."""
    state, output = step
    if state == _FAILED:
        return step
    state, flags, symbol = HUFFMAN_TABLE[state * 16 + bits]
    if flags & HUFFMAN_FAIL:
        return _FAILED, b""
    return state, output + bytes([symbol]) if flags & HUFFMAN_EMIT_SYMBOL else output
