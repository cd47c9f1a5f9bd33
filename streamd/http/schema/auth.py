"""``/auth``: tickets, cookies and revocations."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from .common import Time

TokenId = Annotated[str, Meta(description="The `jti` of a token.")]


class TicketSchema(Struct):
    """A ticket for the query of one stream: `?ticket=`."""

    ticket: str
    expires_at: Time


class RevokeSchema(Struct, forbid_unknown_fields=True):
    """A token, or a user whose tokens are revoked: one of the two."""

    token_id: TokenId | UnsetType = UNSET
    user: str | UnsetType = UNSET
    expires_at: (
        Annotated[float, Meta(description="When the token expires (s since 1970); a year from now without.")]
        | UnsetType
    ) = UNSET


class RevocationSchema(Struct):
    """A revocation."""

    kind: Literal["token", "user"]
    name: str
    revoked_at: Annotated[Time, Meta(description="Tokens of the user that were issued later are valid.")]
    until: Time


class RevocationsSchema(Struct):
    """The revocations, the newest first, without those of the settings."""

    revocations: list[RevocationSchema]
