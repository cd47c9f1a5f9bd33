"""The files of ``conf/`` that services read: what they say, and what they are about."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_FOLDERS = (_PACKAGE.parent / "conf", _PACKAGE / "conf")  # of a checkout; of an installed wheel


def content_file(name: str) -> Path:
    """Where a file of ``conf/`` lies, such as ``research.toml``.

    Raises:
        FileNotFoundError: this installation does not have it.
    """
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"conf/{name} is missing from this installation of streamd")
