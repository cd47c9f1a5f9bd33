"""The credentials of a request: ``Authorization``, the query's ticket, the cookie."""

from typing import Any, Final

from streamd.auth import Access, Caller
from streamd.errors import Forbidden, InvalidField, InvalidToken
from streamd.http.callers import identify_caller
from tests.fuzz.target import Target, check_refusal, finish
from tests.support.tokens import auth_settings

_COOKIE: Final = "c"
_ORIGIN: Final = "https://page.example"
_UNSAFE: Final = b"POST"


class _Witness:
    """Takes every token and ticket, and tells by the caller which one it was."""

    def knows(self, name: str) -> bool:
        return True

    async def verify(self, text: str) -> Caller:
        return Caller(user=text, key="token")

    async def redeem(self, text: str) -> Caller:
        return Caller(user=text, key="ticket")

    def is_revoked(self, caller: Caller) -> bool:
        return False


_WITNESS: Final = _Witness()
_ACCESS: Final = Access(auth_settings(cookie=_COOKIE), _WITNESS, _WITNESS, _WITNESS)


def _take_request(data: bytes) -> None:
    """Identify the sender of a request: a line with method and query, then lines with headers."""
    first, *lines = data.split(b"\n")
    method, _, query = first.partition(b" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "https",
        "method": method.decode("latin1"),
        "query_string": query,
        "headers": headers,
    }
    try:
        caller = finish(identify_caller(_ACCESS, scope, [_ORIGIN]))
    except (InvalidToken, InvalidField, Forbidden) as error:
        check_refusal(error)
        return
    assert finish(identify_caller(_ACCESS, scope, [_ORIGIN])) is caller
    names = {name.lower() for name, _ in headers}
    values = [value.decode("latin1") for _, value in headers]
    if caller.key == "token":
        assert any(caller.user in value for value in values)
        if b"authorization" not in names and method == _UNSAFE:
            assert b"origin" in names or "same-origin" in values, "a cookie counts without its page"
    if caller.key == "ticket":
        assert b"ticket" in query or b"%" in query


TARGETS: Final = {
    "request": Target(
        _take_request,
        (
            b"GET \nauthorization: Bearer a.b.c",
            b"GET ticket=abc",
            b"GET ticket=a&ticket=b\ncookie: c=x",
            b"GET \ncookie: b=1; c=token; d",
            b"POST \ncookie: c=token\norigin: https://page.example\nhost: streamd.example",
            b"POST \ncookie: c=token\nsec-fetch-site: same-origin",
            b"POST \ncookie: c=token\norigin: https://streamd.example\nhost: streamd.example",
            b"POST \ncookie: c=token\norigin: https://[::1\nhost: ::1",
            b"POST \ncookie: c=token\nAuthorization: Bearer a.b.c",
        ),
        (
            b"authorization: Bearer ",
            b"cookie: c=",
            b"ticket=",
            b"origin: https://",
            b"host: ",
            b"sec-fetch-site: same-origin",
            b"null",
            b"[::1]:443",
            b"\xff",
        ),
        512,
    ),
}
