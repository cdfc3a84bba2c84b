"""Encryption with a passphrase, in the age format: ``age -d`` reads it, and so does every other reader of that.

Source: https://age-encryption.org/v1 (C2SP, age.md). A header holds the file's key, wrapped by one that scrypt makes of
the passphrase; then come pieces of 64 KiB, each sealed by itself (ChaCha20-Poly1305) under its number, the last one
marked: what is missing or was moved is noticed, and what is in the middle can be read by itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import os
from typing import Any, BinaryIO

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.layers.compression import Writable

MAGIC = b"age-encryption.org/v1\n"
_STANZA = b"-> scrypt "
_LABEL = b"age-encryption.org/v1/scrypt"
_PIECE, _TAG = 1 << 16, 16
_SEALED = _PIECE + _TAG
#: Sealed at once.
_MANY = 16
#: Of scrypt, as powers of two: 64 MiB of memory when written; more than 1 GiB is refused.
_WORK, _MOST_WORK = 16, 20
_LONGEST_HEADER = 4096


def _cipher(key: bytes) -> Any:
    try:
        module = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
    except ImportError as error:
        raise Unsupported("backup: a passphrase needs cryptography: pip install 'containerkit[backup]'") from error
    return module.ChaCha20Poly1305(key)


def _wrapping_key(passphrase: str, salt: bytes, work: int) -> bytes:
    return hashlib.scrypt(
        passphrase.encode(), salt=_LABEL + salt, n=1 << work, r=8, p=1, maxmem=(1 << work + 10) + (1 << 20), dklen=32
    )


def _derive(key: bytes, salt: bytes, label: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869), 32 bytes."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, label + b"\1", "sha256")


def _encode(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    if _encode(data) != text:
        raise ValueError("not canonical")
    return data


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if is_last else b"\0")


class Sealing:
    """What is written here goes to ``sink`` encrypted; :meth:`end` marks the end.

    Raises:
        InvalidArgument: an empty passphrase.
        Unsupported: cryptography is not installed.
    """

    def __init__(self, sink: Writable, passphrase: str) -> None:
        if not passphrase:
            raise InvalidArgument("backup: the passphrase is empty")
        self._sink = sink
        self._pending = bytearray()
        self._number = 0
        key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
        wrapped = _cipher(_wrapping_key(passphrase, salt, _WORK)).encrypt(bytes(12), key, None)
        head = b"%b%b%b %d\n%b\n---" % (MAGIC, _STANZA, _encode(salt), _WORK, _encode(wrapped))
        mac = hmac.digest(_derive(key, b"", b"header"), head, "sha256")
        sink.write(head + b" " + _encode(mac) + b"\n" + nonce)
        self._cipher = _cipher(_derive(key, nonce, b"payload"))

    def write(self, data: bytes, /) -> int:
        """Append bytes."""
        self._pending += data
        # The last piece is never empty: one is kept back.
        while len(self._pending) > _PIECE * _MANY:
            self._seal(_MANY)
        return len(data)

    def _seal(self, count: int, *, is_last: bool = False) -> None:
        view = memoryview(self._pending)
        sealed = []
        for index in range(count):
            piece = view[index * _PIECE : (index + 1) * _PIECE]
            nonce = _nonce(self._number, is_last=is_last and index == count - 1)
            sealed.append(self._cipher.encrypt(nonce, piece, None))
            piece.release()
            self._number += 1
        view.release()
        del self._pending[: count * _PIECE]
        self._sink.write(b"".join(sealed))

    def end(self) -> None:
        """Write what is left."""
        self._seal(max(1, -(-len(self._pending) // _PIECE)), is_last=True)


class Opened:
    """The plain bytes of an encrypted file, from anywhere in it.

    Args:
        file: can be sought in.
        subject: names it in errors.

    Raises:
        InvalidArgument: the passphrase is not the right one; the file is damaged, also while it is read.
        Unsupported: cryptography is not installed; encrypted for a key, not with a passphrase.
    """

    def __init__(self, file: BinaryIO, passphrase: str, subject: str) -> None:
        self._file, self._subject = file, subject
        file.seek(0)
        head = file.read(_LONGEST_HEADER)
        key, length = self._open_header(head, passphrase)
        self._start = length + 16
        self._cipher = _cipher(_derive(key, head[length : self._start], b"payload"))
        payload = file.seek(0, os.SEEK_END) - self._start
        self._count, rest = divmod(payload, _SEALED)
        self._count += 1 if rest else 0
        if payload < _TAG or 0 < rest <= _TAG < payload:
            raise InvalidArgument(f"{subject}: the encrypted file is cut off")
        self.size = payload - self._count * _TAG
        self._position = 0
        self._number, self._piece = -1, b""  # unsealed last
        self._next = -1  # where the file stands
        self._unseal(self._count - 1)  # marked as the last: nothing is missing

    def _open_header(self, head: bytes, passphrase: str) -> tuple[bytes, int]:
        """The file's key, and how long the header is."""
        end = head.find(b"\n---")
        line = head.find(b"\n", end + 1)
        stanza = head[len(MAGIC) : end].split(b"\n")
        if head.startswith(MAGIC) and end > 0 and line > 0 and not stanza[0].startswith(_STANZA):
            raise Unsupported(f"{self._subject}: encrypted for a key, not with a passphrase")
        try:
            salt, work = stanza[0][len(_STANZA) :].split(b" ")
            (_, body), mac = stanza, _decode(head[end + 5 : line])
            key = self._unwrap(passphrase, _decode(salt), int(work), _decode(body))
        except ValueError as error:
            if isinstance(error, InvalidArgument):
                raise
            raise InvalidArgument(f"{self._subject}: the header of the encrypted file is damaged") from error
        if not hmac.compare_digest(mac, hmac.digest(_derive(key, b"", b"header"), head[: end + 4], "sha256")):
            raise InvalidArgument(f"{self._subject}: the header of the encrypted file is damaged")
        return key, line + 1

    def _unwrap(self, passphrase: str, salt: bytes, work: int, body: bytes) -> bytes:
        if not 1 <= work <= _MOST_WORK or len(salt) != 16 or len(body) != 32:
            raise ValueError("out of bounds")
        cipher = _cipher(_wrapping_key(passphrase, salt, work))
        try:
            key: bytes = cipher.decrypt(bytes(12), body, None)
        except Exception as error:
            raise InvalidArgument(f"{self._subject}: the passphrase is not the right one") from error
        return key

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As of a file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""
        end = self.size if size < 0 else min(self.size, self._position + size)
        found = []
        while self._position < end:
            number, offset = divmod(self._position, _PIECE)
            piece = self._unseal(number)[offset : offset + end - self._position]
            found.append(piece)
            self._position += len(piece)
        return b"".join(found)

    def _unseal(self, number: int) -> bytes:
        if number == self._number:
            return self._piece
        if number != self._next:
            self._file.seek(self._start + number * _SEALED)
        sealed = self._file.read(_SEALED)
        try:
            self._piece = self._cipher.decrypt(_nonce(number, is_last=number == self._count - 1), sealed, None)
        except Exception as error:
            raise InvalidArgument(f"{self._subject}: the encrypted file is damaged or cut off") from error
        self._number, self._next = number, number + 1
        return self._piece
