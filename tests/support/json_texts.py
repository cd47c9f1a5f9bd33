"""JSON texts that are outside of the profile, each with the sentence and the field of its error."""

from typing import Final

import attrs


@attrs.frozen
class JsonFault:
    """A text that every door refuses with the same sentence."""

    name: str
    text: bytes
    field: str | None
    sentence: str


def nested(levels: int, *, objects: bool = False) -> bytes:
    """Return a value with that many levels."""
    opening, closing = (b'{"x":', b"}") if objects else (b"[", b"]")
    return opening * levels + b"1" + closing * levels


def _malformed(name: str, text: bytes, reason: str) -> JsonFault:
    return JsonFault(name, text, None, f"the body is not valid JSON: {reason}")


_NOT_FINITE: Final = "must be a finite number (JSON has no NaN and no Infinity)"
_OUT_OF_RANGE: Final = "is a number too large for a 64-bit float (1.8e308)"
_HALF_PAIR: Final = "has half of a surrogate pair, which UTF-8 cannot encode"
_TOO_DEEP: Final = "is nested deeper than 64 levels"

FAULTS: Final = (
    JsonFault("empty", b"", None, "the body is empty"),
    JsonFault("blank", b" \r\n", None, "the body is empty"),
    JsonFault(
        "second byte order mark",  # a first one is skipped
        b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}',
        None,
        "the body begins with a byte order mark, which JSON must not have",
    ),
    JsonFault("UTF-16", '{"a":1}'.encode("utf-16"), None, "the body is not valid UTF-8 (byte 0)"),
    JsonFault("invalid UTF-8", b'{"a":["x\xff"]}', "a[0]", "a[0] is not valid UTF-8 (byte 8)"),
    JsonFault("invalid UTF-8 in a name", b'{"a":{"x\xff":1}}', "a", "a is not valid UTF-8 (byte 8)"),
    JsonFault("surrogate in UTF-8", b'{"a":"\xed\xa0\x80"}', "a", "a is not valid UTF-8 (byte 6)"),
    JsonFault("leading half", rb'{"a":"x\ud800"}', "a", f"a {_HALF_PAIR}"),
    JsonFault("leading half before text", rb'{"a":"\ud800abcdef"}', "a", f"a {_HALF_PAIR}"),
    JsonFault("leading half before an escape", rb'{"a":"\uD800\u0041"}', "a", f"a {_HALF_PAIR}"),
    JsonFault("two leading halves", rb'{"a":"\ud800\ud83d\ude00"}', "a", f"a {_HALF_PAIR}"),
    JsonFault("trailing half", rb'{"a":[1,{"b":"\udc00"}]}', "a[1].b", f"a[1].b {_HALF_PAIR}"),
    JsonFault("half in a name", rb'{"a":{"b":1,"\ud800":1}}', "a", f"a {_HALF_PAIR}"),
    JsonFault("NaN", b'{"a":NaN}', "a", f"a {_NOT_FINITE}"),
    JsonFault("Infinity", b'{"a":[0, Infinity]}', "a[1]", f"a[1] {_NOT_FINITE}"),
    JsonFault("-Infinity", b'{"a":{"b c":-Infinity}}', 'a["b c"]', f'a["b c"] {_NOT_FINITE}'),
    JsonFault("NaN alone", b"NaN", None, f"the body {_NOT_FINITE}"),
    JsonFault("large exponent", b'{"a":[-1e400]}', "a[0]", f"a[0] {_OUT_OF_RANGE}"),
    JsonFault("310 digits", b'{"a":1' + b"0" * 309 + b"}", "a", f"a {_OUT_OF_RANGE}"),
    JsonFault("5001 digits", b'{"a":-1' + b"0" * 5000 + b"}", "a", f"a {_OUT_OF_RANGE}"),
    JsonFault("large decimal", b'{"a":1' + b"0" * 400 + b'.5,"b":[]}', "a", f"a {_OUT_OF_RANGE}"),
    JsonFault("large number with two points", b'{"a":1' + b"0" * 309 + b".5.5}", "a", f"a {_OUT_OF_RANGE}"),
    JsonFault("repeated name", b'{"a":1,"b":2,"a":1}', "a", 'the body has two members named "a"'),
    JsonFault("repeated name inside", b'{"a":[{"b":1,"b":2}]}', "a[0].b", 'a[0] has two members named "b"'),
    JsonFault("repeated escaped name", rb'{"a":{"b":":","\u0062":1}}', "a.b", 'a has two members named "b"'),
    JsonFault("too deep", b'{"a":' + nested(64) + b"}", "a", f"a {_TOO_DEEP}"),
    JsonFault("too deep without an end", b"[" * 10_000, None, f"the body {_TOO_DEEP}"),
    _malformed("truncated", b'{"a":', "it ends too early"),
    _malformed("truncated string", b'{"a":"b', "it ends too early"),
    _malformed("two values", b'{"a":1} {"b":2}', "it goes on after its end (byte 8)"),
    _malformed("two lines", b'{"a":1}\n{"a":1}\n', "it goes on after its end (byte 8)"),
    _malformed("a bracket too many", '{"é":1}}'.encode(), "it goes on after its end (byte 8)"),
    _malformed("control character", b'{"a":"x\ny"}', "invalid control character (byte 7)"),
    _malformed("unknown word", b'{"a":nan}', "expecting value (byte 5)"),
    _malformed("missing colon", b'{"a" 1}', "expecting ':' delimiter (byte 5)"),
    _malformed("missing comma", b'{"a":1 "b":2}', "expecting ',' delimiter (byte 7)"),
)
