"""Resume secrets: the proof of an anonymous client that a connection it replaces is its own.

Anybody may choose the client id of another client, because it is no secret. A connection of an anonymous
client therefore replaces only those of its own *lineage*: the chain of connections in which each one brought
the secret of the chain. The lineage is named by the id of its first connection, and the secret is that name
with its MAC (RFC 2104). So the secret is the same for the whole chain, also when the answer that carried it
was lost, and nothing of it is kept in memory. The key is that of the process: after a restart there is no
connection left to replace. Nodes that share their connections share the key, too.
"""

import hmac
import secrets
from typing import Final

_KEY_BYTES: Final = 32
_DIGEST: Final = "sha256"
_SECRET_CHARS_MAX: Final = 128  # a lineage and its MAC have 98


class ResumeSecrets:
    """Issues and verifies the resume secrets of one process, or of the nodes with which it shares a key.

    Attributes:
        key: of the secrets that are issued now.
    """

    def __init__(self) -> None:
        self.key = secrets.token_bytes(_KEY_BYTES)
        self._key_before = self.key

    def adopt(self, key: bytes) -> None:
        """Issue secrets by a key that other nodes have; those of the key before are still verified."""
        if key != self.key:
            self._key_before, self.key = self.key, key

    def issue(self, lineage: str) -> str:
        """Return the secret of a lineage."""
        return f"{lineage}.{_mac(self.key, lineage)}"

    def verify(self, secret: str | None) -> str | None:
        """Return the lineage of a secret; None if none with the key issued it. Takes constant time."""
        if secret is None or len(secret) > _SECRET_CHARS_MAX or not secret.isascii():
            return None
        lineage, _, mac = secret.partition(".")
        is_issued = [hmac.compare_digest(mac, _mac(key, lineage)) for key in (self.key, self._key_before)]
        return lineage if any(is_issued) else None


def _mac(key: bytes, lineage: str) -> str:
    return hmac.digest(key, lineage.encode(), _DIGEST).hex()
