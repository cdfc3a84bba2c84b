"""What keeps the content of a directory of backups from those who do not know its passphrase; or nothing does.

A key is made of the passphrase by scrypt; blocks and manifests are sealed with ChaCha20-Poly1305 (RFC 8439), each with
a nonce of its own. Blocks are named by HMAC-SHA-256 of their content with another key, so that nobody can look whether
a file that they know is among them.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import os
from typing import Any

from containerkit.errors import InvalidArgument, Unsupported

_NONCE = 12
_PROOF = b"containerkit backups"


class Secrecy:
    """Without a passphrase: everybody may read."""

    def name(self, data: bytes) -> bytes:
        """What a block with that content is called: 32 bytes."""
        return hashlib.sha256(data).digest()

    def seal(self, data: bytes) -> bytes:
        """As it is kept."""
        return data

    def open(self, data: bytes) -> bytes:
        """And back.

        Raises:
            ValueError: it is not what was sealed.
        """
        return data


class Sealed(Secrecy):
    """With a passphrase.

    Args:
        salt: 16 bytes or more, of the directory.
    """

    def __init__(self, passphrase: str, salt: bytes, subject: str) -> None:
        try:
            module: Any = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        except ImportError as error:
            raise Unsupported(
                f"{subject}: a passphrase needs cryptography: pip install 'containerkit[backup]'"
            ) from error
        keys = hashlib.scrypt(passphrase.encode(), salt=salt, n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=64)
        self._cipher = module.ChaCha20Poly1305(keys[:32])
        self._naming = keys[32:]

    def name(self, data: bytes) -> bytes:
        return hmac.digest(self._naming, data, "sha256")

    def seal(self, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        sealed: bytes = self._cipher.encrypt(nonce, data, None)
        return nonce + sealed

    def open(self, data: bytes) -> bytes:
        try:
            plain: bytes = self._cipher.decrypt(data[:_NONCE], data[_NONCE:], None)
        except Exception as error:
            raise ValueError("not what was sealed") from error
        return plain


def begin(passphrase: str | None, subject: str) -> tuple[Secrecy, dict[str, str]]:
    """That of a new directory, and what is written down of it."""
    if passphrase is None:
        return Secrecy(), {}
    salt = os.urandom(16)
    found = Sealed(passphrase, salt, subject)
    return found, {"salt": salt.hex(), "proof": found.seal(_PROOF).hex()}


def again(passphrase: str | None, said: dict[str, Any], subject: str) -> Secrecy:
    """That of a directory that is there.

    Raises:
        InvalidArgument: the passphrase is missing or wrong.
    """
    if "salt" not in said:
        return Secrecy()
    if passphrase is None:
        raise InvalidArgument(f"{subject}: is encrypted: it takes its passphrase")
    try:
        salt, proof = bytes.fromhex(said["salt"]), bytes.fromhex(said["proof"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"{subject}: damaged: what it says of its passphrase") from error
    found = Sealed(passphrase, salt, subject)
    try:
        found.open(proof)
    except ValueError as error:
        raise InvalidArgument(f"{subject}: the passphrase is wrong") from error
    return found
