"""Addresses to listen on, HOST:PORT, as ``server.bind`` and ``--bind`` take them."""

_PORT_MAX = 65_535


def parse_bind(text: str) -> tuple[str, int]:
    """Split an address to listen on.

    Args:
        text: ``HOST:PORT``, with an IPv6 address in brackets, ``[::1]:8080``.

    Returns:
        The host without brackets, and the port; port 0 lets the system choose.

    Raises:
        ValueError: the text has another form; the message states the right one.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("write HOST:PORT, such as 127.0.0.1:8080")
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
