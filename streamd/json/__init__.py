"""JSON texts (RFC 8259): one profile for every text that others send, and for every value of a program.

A value that one client publishes is decoded by clients in other languages, so a text is refused unless all of
them can decode it, to the same value. The profile follows I-JSON (RFC 7493):

* it is UTF-8, without a byte order mark and without half of a surrogate pair (sections 2.1 and 4.3);
* no object has two members of one name (RFC 8259 section 4 leaves it open which of them counts);
* numbers are within the range of a 64-bit float, and there is no NaN and no Infinity (RFC 8259 section 6);
* values are nested at most :data:`DEPTH_MAX` levels (RFC 8259 section 9 allows such a limit).

The profile applies at every door: HTTP bodies, lines and WebSocket messages, programs' events, inputs, fields
and results, answers of other servers, and the command line. Numbers keep their digits.

===============  ============================================================================
``codec``        decoding and encoding under the profile
``faults``       the sentence and the field of an error
``paths``        the path of a value, by its position in the text
``pieces``       the pieces of a large text, each of which is checked in a short step
``structure``    the brackets, colons and strings of a text, found at the speed of C
===============  ============================================================================

Imports ``errors`` and ``steps`` only.
"""

from .codec import (
    DEPTH_MAX,
    MESSAGE_ENVELOPE,
    EncodedJson,
    check_json,
    decode_compact,
    decode_json,
    decode_message,
    decode_shape,
    decoding_steps,
    encode_json,
    encode_text,
    inspect_json,
    inspection_steps,
    is_large,
)
from .structure import count_opening

__all__ = [
    "DEPTH_MAX",
    "MESSAGE_ENVELOPE",
    "EncodedJson",
    "check_json",
    "count_opening",
    "decode_compact",
    "decode_json",
    "decode_message",
    "decode_shape",
    "decoding_steps",
    "encode_json",
    "encode_text",
    "inspect_json",
    "inspection_steps",
    "is_large",
]
