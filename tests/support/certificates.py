"""Certificates of one authority for all tests, and contexts of clients that trust it."""

import functools
import ssl
from pathlib import Path

import trustme


@functools.cache
def authority() -> trustme.CA:
    """Return the authority, which is made at the first call."""
    return trustme.CA()


def write_certificate(folder: Path, host: str = "127.0.0.1") -> str:
    """Write a server's key and certificate chain to one file in ``folder``, and return its path."""
    path = folder / "server.pem"
    authority().issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def write_authority(folder: Path) -> str:
    """Write the authority's certificate to a file in ``folder``, and return its path."""
    path = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


def trusting(*protocols: str) -> ssl.SSLContext:
    """Make a client's context that trusts the authority and offers protocols by ALPN, such as ``h2``."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
