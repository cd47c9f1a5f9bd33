"""TOML files that are content rather than settings: those of ``conf/``, and the data of the services."""

import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from ..errors import ConfigError

_PACKAGE: Final = Path(__file__).parent.parent
_FOLDERS: Final = (_PACKAGE.parent / "conf", _PACKAGE / "conf")  # of a checkout; of an installed wheel

T = TypeVar("T", bound=msgspec.Struct)


def content_file(name: str) -> Path:
    """Return the path of a file of ``conf/``, such as ``research.toml``.

    Raises:
        ConfigError: this installation does not have it.
    """
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"conf/{name} is missing from this installation of streamd")


def read_toml(file: Path, *, setting: str | None = None) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        file: its path.
        setting: the path of the setting that names the file.

    Raises:
        ConfigError: the file cannot be read, or is not valid TOML in UTF-8. The detail names the file.
    """
    shown = f"{setting}: {file}" if setting else f"{file}"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror or error}", field=setting) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} is not UTF-8 (byte {error.start})", field=setting) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{shown} is not valid TOML: {error}", field=setting) from error


def load_tables(file: Path, type: type[T]) -> tuple[T, ...]:
    """Read a TOML file of tables, each as a struct whose field ``name`` is the table's name.

    Raises:
        ConfigError: as :func:`read_toml`; or a table is not such a struct. The detail names the file, the
            table and the key.
    """
    structs = []
    for name, table in read_toml(file).items():
        try:
            structs.append(msgspec.convert({"name": name, **table}, type))
        except (TypeError, msgspec.ValidationError) as error:
            raise ConfigError(f"{file}: [{name}]: {error}") from error
    return tuple(structs)
