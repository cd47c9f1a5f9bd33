"""The TLS certificate of a server: checked, loaded, and replaced while the server runs."""

import ssl
from collections.abc import Iterator
from pathlib import Path

from hypercorn.config import Config

from ..errors import ConfigError
from .settings import ServerSettings


class Certificates:
    """The TLS context of the connections that a server accepts from now on.

    Args:
        settings: name the files.

    Attributes:
        tls_context: None for plain HTTP.

    Raises:
        ConfigError: the files cannot be used.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.tls_context = _load(settings)

    def reload(self, settings: ServerSettings) -> None:
        """Load the files again. Open connections keep the certificate that they began with.

        Raises:
            ConfigError: the files cannot be used; the certificate before stays in use.
        """
        self.tls_context = _load(settings)


def check_certificate(settings: ServerSettings) -> Iterator[ConfigError]:
    """Yield every mistake in the files of the certificate and its key."""
    files = {"certfile": settings.certfile, "keyfile": settings.keyfile}
    if not all(files.values()):
        return  # no TLS, or a contradiction that the settings report
    unreadable = [error for name, file in files.items() if (error := _unreadable(name, file)) is not None]
    yield from unreadable
    if not unreadable:
        try:
            _load(settings)
        except ConfigError as error:
            yield error


def _unreadable(name: str, file: str) -> ConfigError | None:
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except OSError as error:
        return _refused(name, file, f"cannot be read: {error.strerror}")
    except ValueError:
        return _refused(name, file, "is no path of a file")
    return None


def _load(settings: ServerSettings) -> ssl.SSLContext | None:
    """Build the context, with the protocols and ciphers that Hypercorn chooses."""
    certfile, keyfile = settings.certfile, settings.keyfile
    if not certfile:
        return None
    config = Config()
    config.certfile, config.keyfile = certfile, keyfile
    config.keyfile_password = _refuse_password  # type: ignore[assignment] # OpenSSL would ask at the terminal
    for name, file in (("certfile", certfile), ("keyfile", keyfile)):
        if (error := _unreadable(name, file)) is not None:
            raise error
    try:
        context = config.create_ssl_context()
    except _EncryptedKeyError:
        raise _refused("keyfile", keyfile, "is encrypted; store the key without a password") from None
    except (OSError, ssl.SSLError) as error:
        raise _explain(settings, error) from error
    assert context is not None
    context.options |= ssl.OP_NO_RENEGOTIATION  # a write never has to wait for a read
    return context


class _EncryptedKeyError(Exception):
    """The key can only be read with a password."""


def _refuse_password() -> str:
    raise _EncryptedKeyError


def _explain(settings: ServerSettings, error: OSError) -> ConfigError:
    """Find the file that OpenSSL did not accept; its own error names none."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return _refused("keyfile", settings.keyfile, f"is not the key of {settings.certfile}")
    try:
        ssl.create_default_context(cafile=settings.certfile)
    except (OSError, ssl.SSLError):
        return _refused("certfile", settings.certfile, "has no certificate in PEM form")
    return _refused("keyfile", settings.keyfile, "has no private key in PEM form that TLS can use")


def _refused(name: str, file: str, reason: str) -> ConfigError:
    return ConfigError(f"server.{name}: {file} {reason}", field=f"server.{name}")
