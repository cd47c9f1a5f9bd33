"""A certificate for the TLS scenarios, issued for each server."""

from pathlib import Path

import attrs

from .missing import Missing


@attrs.frozen
class Certificate:
    """The PEM files of a certificate."""

    chain: Path
    key: Path


def make_certificate(directory: Path) -> Certificate:
    """Write a certificate for 127.0.0.1 and its key into ``directory``.

    Raises:
        Missing: trustme is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise Missing("trustme is not installed: install the extra `test`") from None
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate = Certificate(directory / "chain.pem", directory / "key.pem")
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(certificate.chain, append=number > 0)
    issued.private_key_pem.write_to_path(certificate.key)
    return certificate
