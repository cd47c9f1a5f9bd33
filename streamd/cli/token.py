"""``streamd token``: make tokens, and inspect them."""

import json
import os
import re
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Final

import attrs
import click
import trio

from ..auth import AuthSettings, Caller, Grant, TaskScope
from ..auth.claims import TokenTimes, parse_selectors, read_caller, write_claims
from ..auth.compact import MAX_TOKEN_BYTES, peek_token, sign_token
from ..auth.keys import load_keys
from ..auth.tokens import TokenVerifier
from ..config import load
from ..errors import InvalidField, InvalidToken, StreamdError
from ..logs import configure_logging
from ..settings import Settings
from .token_text import TokenReport, describe

_LIFETIME: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ID_BYTES: Final = 12

_config = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file (TOML); by default the one that STREAMD_CONFIG names, if any.",
)
_key_file = click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Use the keys of this file (JWK, JWK set or PEM) in place of the configured ones.",
)


@click.group()
def token() -> None:
    """Make tokens, and inspect them, with the keys of the configuration."""


def _parse_lifetime(_context: click.Context, _option: click.Parameter, text: str) -> int:
    found = _LIFETIME.fullmatch(text)
    if found is None:
        raise click.BadParameter("write a number and a unit, s, m, h or d, such as 8h")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


@token.command()
@_config
@_key_file
@click.option("--user", default="", metavar="NAME", help="User that the token is for.")
@click.option("--merchant", default="", metavar="ID", help="Merchant whose topics and orders it may read.")
@click.option("--publish", multiple=True, metavar="SELECTOR", help="Topic or pattern that it may publish to.")
@click.option("--subscribe", multiple=True, metavar="SELECTOR", help="Topic or pattern that it may read.")
@click.option("--tasks", type=click.Choice(["own", "all"]), help="Tasks that it may use.")
@click.option("--admin", is_flag=True, help="Let it read everything, use all tasks, and see connections.")
@click.option(
    "--expires",
    "lifetime",
    default="1h",
    show_default=True,
    callback=_parse_lifetime,
    metavar="TIME",
    help="Lifetime: a number with s, m, h or d.",
)
def make(
    file: Path | None,
    key_file: Path | None,
    user: str,
    merchant: str,
    publish: tuple[str, ...],
    subscribe: tuple[str, ...],
    tasks: str | None,
    admin: bool,
    lifetime: int,
) -> None:
    """Make a token, and print it.

    The first configured key that can sign signs it. A selector with a segment * or a last segment ** is a
    pattern, any other one a topic.

    Example: streamd token make --user ada --subscribe 'orders/**' --expires 8h
    """
    settings = _settings(file, key_file).auth
    key = load_keys(settings).signing_key
    if key is None:
        raise click.ClickException(
            "no key can sign: set auth.keys, or name a private key in auth.key_file or with --key-file"
        )
    now = time.time()
    try:
        caller = Caller(
            user=user,
            merchant=merchant,
            grant=Grant(
                publish=parse_selectors(publish, "--publish"),
                subscribe=parse_selectors(subscribe, "--subscribe"),
                tasks=TaskScope(tasks or TaskScope.NONE),
                admin=admin,
            ),
            token_id=secrets.token_urlsafe(_ID_BYTES),
            issued_at=now,
            expires_at=now + lifetime,
        )
        claims = write_claims(caller, settings)
        read_caller(claims, TokenTimes.read(claims), settings)  # as a server will
    except (ValueError, InvalidField, InvalidToken) as error:
        raise click.UsageError(str(error)) from error
    text = sign_token(key, claims)
    if len(text) > MAX_TOKEN_BYTES:
        raise click.UsageError(f"the token would have {len(text)} bytes, and may have {MAX_TOKEN_BYTES}")
    click.echo(text)


@token.command()
@click.argument("text", metavar="[TOKEN]", required=False)
@_config
@_key_file
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def inspect(text: str | None, file: Path | None, key_file: Path | None, as_json: bool) -> None:
    """Decode and verify a token, and print what it grants and what is wrong with it.

    Without TOKEN, read it from standard input, which keeps it out of the shell's history. The status is
    0 if a server with this configuration accepts the token, and 1 if it does not.
    """
    settings = _settings(file, key_file)
    given = sys.stdin.readline(8 * MAX_TOKEN_BYTES) if text is None else text
    if settings.auth.jwks_url:  # the only part that logs
        configure_logging(settings.logging, os.environ)
    report = trio.run(_inspect, given.strip().removeprefix("Bearer ").strip(), settings.auth)
    click.echo(json.dumps(report.as_json()) if as_json else describe(report, time.time()))
    sys.exit(0 if report.problem is None else 1)


def _settings(file: Path | None, key_file: Path | None) -> Settings:
    settings = load(Settings, file).settings
    if key_file is None:
        return settings
    return attrs.evolve(
        settings, auth=attrs.evolve(settings.auth, keys=[], key_file=str(key_file), jwks_url="")
    )


async def _inspect(text: str, settings: AuthSettings) -> TokenReport:
    """Verify a token, and decode as much of it as can be decoded."""
    verifier = TokenVerifier(settings)
    problem: str | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(verifier.run)
        try:
            caller = await verifier.verify(text)
        except StreamdError as error:
            problem = error.detail
        else:
            problem = _find_revocation(caller, settings)
        nursery.cancel_scope.cancel()
    if problem is not None and not settings.has_keys:
        problem = "no keys are configured: set auth.keys, auth.key_file or auth.jwks_url"
    header: Any = {}
    claims: Any = {}
    shown = None
    try:
        header, claims = peek_token(text)
        shown = read_caller(claims, TokenTimes.read(claims), settings)
    except InvalidToken as error:
        problem = problem or error.detail
    return TokenReport(problem, dict(header), dict(claims), shown)


def _find_revocation(caller: Caller, settings: AuthSettings) -> str | None:
    if caller.token_id and caller.token_id in settings.revoked_tokens:
        return "the token is revoked (tuning.auth.revoked_tokens)"
    if caller.user and caller.user in settings.revoked_users:
        return "the tokens of its user are revoked (tuning.auth.revoked_users)"
    return None
