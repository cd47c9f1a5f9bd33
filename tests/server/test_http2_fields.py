"""The fields of HTTP/2 requests are accepted or refused as by the ``h2`` library, which takes more steps."""

from h2.exceptions import ProtocolError
from h2.utilities import HeaderValidationFlags, normalize_inbound_headers, validate_headers
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.server.hypercorn_internals.http2_fields import check_fields, combine_cookies

Field = tuple[bytes, bytes]

REQUEST: list[Field] = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")]
NAMES = [
    *[name for name, _ in REQUEST],
    *[b":protocol", b":status", b":x", b":", b"", b"host", b"te", b"connection", b"upgrade", b"cookie", b"x"],
    *[b"X", b"x y", b"x:y", b"\x7f", b"x\n", b"transfer-encoding", b"keep-alive", b"proxy-connection"],
]
VALUES = [
    b"",
    b"GET",
    b"CONNECT",
    b"websocket",
    b"a",
    b"b",
    b" a",
    b"a\t",
    b"a b",
    b"a\nb",
    b"\0",
    b"a\r",
    b"/",
]
VALUES += [b"trailers", b"Trailers", b"\xff", b" "]
FIELDS = st.one_of(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.tuples(st.binary(max_size=3), st.binary(max_size=4)),
    st.sampled_from(REQUEST),
)


def accepts(head: list[Field], is_trailer: bool) -> bool:
    try:
        check_fields(combine_cookies(head), is_trailer=is_trailer)
    except ProtocolError:
        return False
    return True


def library_accepts(head: list[Field], is_trailer: bool) -> bool:
    flags = HeaderValidationFlags(
        is_client=False, is_trailer=is_trailer, is_response_header=False, is_push_promise=False
    )
    try:
        list(validate_headers(normalize_inbound_headers(head, flags), flags))
    except (ProtocolError, IndexError):
        return False
    return True


@given(st.lists(FIELDS, max_size=6), st.booleans())
@example([(b":method", b"CONNECT"), (b":authority", b"a")], False)
@example([(b":method", b"CONNECT"), (b":protocol", b"websocket"), *REQUEST[1:]], False)
def test_any_fields_are_accepted_as_by_the_library(head: list[Field], is_trailer: bool) -> None:
    assert accepts(head, is_trailer) == library_accepts(head, is_trailer)


@given(st.permutations([*REQUEST, (b"host", b"a"), (b"te", b"trailers")]), st.lists(FIELDS, max_size=2))
def test_requests_with_further_fields_are_accepted_as_by_the_library(
    head: list[Field], more: list[Field]
) -> None:
    for fields in ([*REQUEST, *more], [*head, *more], head[1:]):
        assert accepts(fields, False) == library_accepts(fields, False)


@given(st.lists(st.one_of(st.tuples(st.just(b"cookie"), st.binary(max_size=3)), FIELDS), max_size=6))
def test_parts_of_a_cookie_are_combined_as_by_the_library(head: list[Field]) -> None:
    flags = HeaderValidationFlags(False, False, False, False)
    assert combine_cookies(head) == list(normalize_inbound_headers(head, flags))
