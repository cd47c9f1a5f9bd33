"""Addresses to listen on, as ``server.bind`` and ``--bind`` take them: HOST:PORT, or unix:/PATH."""

from typing import Final

_PORT_MAX: Final = 65_535
_UNIX: Final = "unix:"
_UNIX_PATH_BYTES_MAX: Final = 107  # of sun_path, without the zero at its end (unix(7))


def parse_unix_bind(text: str) -> str | None:
    """Return the path of a Unix socket to listen on; None for any other address.

    Args:
        text: ``unix:`` and an absolute path.

    Raises:
        ValueError: the path has another form; the message states the right one.
    """
    if not text.startswith(_UNIX):
        return None
    path = text.removeprefix(_UNIX)
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError("write the whole path of the Unix socket, such as unix:/run/streamd/streamd.sock")
    if "\0" in path:
        raise ValueError("the path of a Unix socket must have no zero characters")
    if len(path.encode(errors="surrogateescape")) > _UNIX_PATH_BYTES_MAX:
        raise ValueError(f"the path of a Unix socket may have at most {_UNIX_PATH_BYTES_MAX} bytes")
    return path


def unix_bind(path: str) -> str:
    """Return the address of a Unix socket, as :func:`parse_unix_bind` takes it."""
    return f"{_UNIX}{path}"


def parse_bind(text: str) -> tuple[str, int]:
    """Split an address of TCP to listen on.

    Args:
        text: ``HOST:PORT``, with an IPv6 address in brackets, ``[::1]:8080``.

    Returns:
        The host without brackets, and the port; port 0 lets the system choose.

    Raises:
        ValueError: the text has another form; the message states the right one.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("write HOST:PORT, such as 127.0.0.1:8080, or unix:/PATH")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _PORT_MAX):
        raise ValueError(f"the port must be a number from 0 to {_PORT_MAX}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("write an IPv6 address in brackets, such as [::1]:8080")
    if not host:
        raise ValueError(
            "write the host too; 0.0.0.0 stands for every IPv4 address, [::] for every IPv6 address"
        )
    if any(char.isspace() or char in "/[]@" for char in host):
        raise ValueError("the host must be a name or an address, such as localhost or 127.0.0.1")
    return host, int(port)
