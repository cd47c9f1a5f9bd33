"""``/auth``: tickets for streams, the cookie of pages, and the revocation of tokens."""

from datetime import UTC, datetime
from typing import Final

from quart import Blueprint, request
from quart_schema import document_request, document_response
from quart_trio.wrappers import TrioResponse

from ...auth import Caller
from ...auth.revocation import Revocation
from ...errors import Forbidden, InvalidField, NotFound, Unauthorized
from ...events import format_time
from .. import schema
from ..callers import AUTHORIZATION, bearer_token, demand_admin, demand_token
from ..current import current_runtime
from ..json import json_response
from ..problems import document_problems
from ..requests import parse_limit, read_json

_LISTED_MAX: Final = 1000
_MS: Final = 1000

auth = Blueprint("streamd_auth", __name__, url_prefix="/auth")


@auth.post("/ticket")
@document_response(schema.TicketSchema, 201)
@document_problems(401, 403, 413, 429, 503)
async def create_ticket() -> TrioResponse:
    """Create a ticket, with which one stream can be opened where no header can be sent."""
    caller = await demand_token()
    ticket = await current_runtime().tickets.create(caller)
    answer = json_response({"ticket": ticket.text, "expires_at": _time(ticket.expires_at)}, 201)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@auth.post("/cookie")
@document_response(schema.Nothing, 204)
@document_problems(401, 403, 404, 503)
async def set_cookie() -> TrioResponse:
    """Keep the token of the request in a cookie, which pages of this origin send and scripts cannot read."""
    name = _cookie_name()
    caller = await demand_token()
    token = bearer_token(request.scope)
    if not token:
        raise Unauthorized("the cookie is made of a token: Authorization: Bearer …", field=AUTHORIZATION)
    answer = _cookie_answer()
    answer.set_cookie(name, token, **_COOKIE, expires=_expiry(caller))  # type: ignore[arg-type]
    return answer


@auth.delete("/cookie")
@document_response(schema.Nothing, 204)
@document_problems(404)
async def delete_cookie() -> TrioResponse:
    """Delete the cookie with the token."""
    name = _cookie_name()
    answer = _cookie_answer()
    answer.delete_cookie(name, **_COOKIE)  # type: ignore[arg-type]
    return answer


@auth.get("/revocations")
@document_response(schema.RevocationsSchema, 200)
@document_problems(400, 401, 403, 503)
async def list_revocations() -> TrioResponse:
    """List the revocations, the newest first."""
    await demand_admin()
    found = current_runtime().revocations.list()[: parse_limit(request, _LISTED_MAX)]
    return json_response({"revocations": [_describe(each) for each in found]})


@auth.post("/revocations")
@document_request(schema.RevokeSchema)
@document_response(schema.RevocationSchema, 201)
@document_problems(400, 401, 403, 413, 415, 503, 504)
async def revoke() -> TrioResponse:
    """Revoke a token, or all tokens of a user that were issued until now; open streams end within seconds."""
    await demand_admin()
    runtime = current_runtime()
    body = await read_json(schema.RevokeSchema)
    if runtime.access.is_open:
        raise Forbidden("a server without keys has no tokens to revoke")
    token_id, user = body.token_id or "", body.user or ""
    if bool(token_id) == bool(user):
        raise InvalidField("name either a token_id or a user", field="token_id")
    if token_id:
        revocation = await runtime.revocations.revoke_token(token_id, body.expires_at or None)
    else:
        revocation = await runtime.revocations.revoke_user(user)
    return json_response(_describe(revocation), 201)


_COOKIE: Final = {"path": "/", "secure": True, "httponly": True, "samesite": "Strict"}
"""As the prefix ``__Host-`` needs it (RFC 6265bis section 4.1.3.2); not for scripts and other sites."""


def _cookie_name() -> str:
    name = current_runtime().access.settings.cookie
    if not name:
        raise NotFound("no cookie is read here", field="cookie")
    return name


def _cookie_answer() -> TrioResponse:
    return TrioResponse(b"", status=204, headers={"Cache-Control": "no-store"})


def _expiry(caller: Caller) -> datetime | None:
    return None if caller.expires_at is None else datetime.fromtimestamp(caller.expires_at, UTC)


def _time(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(seconds, UTC))


def _describe(revocation: Revocation) -> dict[str, str]:
    return {
        "kind": revocation.kind.value,
        "name": revocation.name,
        "revoked_at": _time(revocation.revoked_at_ms / _MS),
        "until": _time(revocation.until_ms / _MS),
    }
