"""``streamd keys``: make a key that signs tokens."""

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from ..auth.generate import generate_jwk, generate_secret, public_jwk
from ..auth.settings import ALGORITHMS, SHARED_SECRET_ALGORITHMS

_SECRET_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644

_new_file = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default="HS256",
    show_default=True,
    help="Signature algorithm of the tokens.",
)
@click.option(
    "--output", type=_new_file, metavar="FILE", help="New file for the key, a JWK that only you can read."
)
@click.option(
    "--public",
    type=_new_file,
    metavar="FILE",
    help="New file for its public part, a JWK set for servers that only verify tokens.",
)
def keys(algorithm: str, output: Path | None, public: Path | None) -> None:
    """Make a key that signs and verifies tokens.

    Without --output, print a secret as a line for the setting auth.keys (HS256, HS384, HS512). No file is
    overwritten.

    Example: streamd keys --algorithm ES256 --output key.json --public public.json
    """
    is_shared = algorithm in SHARED_SECRET_ALGORITHMS
    if public is not None and is_shared:
        raise click.UsageError(f"a key of {algorithm} has no public part: the same secret signs and verifies")
    if output is None:
        if not is_shared:
            raise click.UsageError(f"a private key of {algorithm} is not printed: name a file with --output")
        click.echo(generate_secret(algorithm))
        return
    for path in filter(None, (output, public)):
        if os.path.lexists(path):
            raise _exists(path)
    jwk = generate_jwk(algorithm)
    _write_new(output, jwk, _SECRET_MODE)
    click.echo(f"{output} has the key, for auth.key_file where tokens are signed", err=True)
    if public is not None:
        _write_new(public, {"keys": [public_jwk(jwk)]}, _PUBLIC_MODE)
        click.echo(f"{public} has its public part, for auth.key_file where tokens are verified", err=True)


def _write_new(path: Path, content: dict[str, Any], mode: int) -> None:
    """Write JSON to a file that does not exist, with this mode from its first moment.

    Raises:
        click.ClickException: it exists, or cannot be written; then nothing of it is left.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(fd, "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
    except OSError as error:
        path.unlink()
        raise _unwritable(path, error) from error


def _exists(path: Path) -> click.ClickException:
    return click.ClickException(f"{path} exists, and is not overwritten")


def _unwritable(path: Path, error: OSError) -> click.ClickException:
    return click.ClickException(f"{path} cannot be written: {error.strerror or error}")
