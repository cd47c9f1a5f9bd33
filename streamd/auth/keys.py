"""The keys of the settings: ``auth.keys`` and ``auth.key_file``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from ..config import SettingsError
from ..errors import ConfigError
from .key_formats import MAX_KEYS, read_key_file, read_secret
from .settings import AuthSettings
from .token_key import KeyRefused, TokenKey

_KEYS: Final = "auth.keys"
_KEY_FILE: Final = "auth.key_file"
_MAX_FILE_BYTES: Final = 1_048_576


@attrs.frozen
class KeyRing:
    """Keys that verify tokens. To change them, replace the ring as a whole.

    Args:
        keys: the first that can sign is the signing key.
    """

    keys: tuple[TokenKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keys)

    @property
    def signing_key(self) -> TokenKey | None:
        """The key that signs new tokens; None if no key can."""
        return next((key for key in self.keys if key.can_sign), None)

    def has(self, algorithm: str, key_id: str) -> bool:
        """Return True if there is a key of an algorithm with this id, or any key if the id is empty."""
        return any(key.algorithm == algorithm and key_id in ("", key.key_id) for key in self.keys)

    def find(self, algorithm: str, key_id: str) -> tuple[TokenKey, ...]:
        """Return the keys that may have signed a token.

        Args:
            algorithm: of the token.
            key_id: its ``kid``; empty if it has none, then every key of the algorithm may have signed it. If
                no key has this id, those without an id may: secrets and PEM files have none.
        """
        usable = tuple(key for key in self.keys if key.algorithm == algorithm)
        if not key_id:
            return usable
        named = tuple(key for key in usable if key.key_id == key_id)
        return named or tuple(key for key in usable if not key.key_id)


def load_keys(settings: AuthSettings) -> KeyRing:
    """Load the keys that the settings have, and those of the file that they name.

    Raises:
        SettingsError: names every mistake with the path of its setting, and quotes no secret.
    """
    keys: list[TokenKey] = []
    mistakes = [*_load_secrets(settings, keys), *_load_file(settings, keys)]
    if mistakes:
        raise SettingsError.of(mistakes)
    return KeyRing(tuple(keys))


def check_keys(settings: AuthSettings) -> Iterator[ConfigError]:
    """Yield the mistakes in the keys of the settings."""
    try:
        load_keys(settings)
    except ConfigError as error:
        yield error


def _load_secrets(settings: AuthSettings, keys: list[TokenKey]) -> Iterator[ConfigError]:
    if len(settings.keys) > MAX_KEYS:
        yield _mistake(_KEYS, f"has {len(settings.keys)} keys, and may have at most {MAX_KEYS}")
        return
    for index, line in enumerate(settings.keys):
        path = f"{_KEYS}[{index}]"
        try:
            key = read_secret(line)
        except KeyRefused as error:
            yield _mistake(path, str(error))
        else:
            if key.algorithm not in settings.algorithms:
                yield _mistake(path, f"{key.algorithm} is not one of tuning.auth.algorithms")
            keys.append(key)


def _load_file(settings: AuthSettings, keys: list[TokenKey]) -> Iterator[ConfigError]:
    if not settings.key_file:
        return
    path = f"{_KEY_FILE}: {settings.key_file}"
    try:
        found = read_keys_of(Path(settings.key_file))
    except KeyRefused as error:
        yield _mistake(path, str(error), _KEY_FILE)
        return
    accepted = [key for key in found if key.algorithm in settings.algorithms]
    if not accepted:
        yield _mistake(path, "has no key for one of tuning.auth.algorithms", _KEY_FILE)
    keys += accepted


def read_keys_of(file: Path) -> list[TokenKey]:
    """Read the keys of a file, see :func:`.key_formats.read_key_file`.

    Raises:
        KeyRefused: it cannot be read, or has no usable keys.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyRefused(f"cannot be read: {error.strerror or error}") from error
    if len(content) > _MAX_FILE_BYTES:
        raise KeyRefused(f"is larger than {_MAX_FILE_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise KeyRefused("is neither a JWK, nor a JWK set, nor PEM") from None
    return read_key_file(text)


def _mistake(path: str, reason: str, setting: str | None = None) -> ConfigError:
    return ConfigError(f"{path}: {reason}", field=setting or path)
