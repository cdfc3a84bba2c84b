"""What ADD gets from a URL: as it comes, into a file, with its digest."""

from __future__ import annotations

import email.utils
import hashlib
import posixpath
import re
import secrets
from datetime import timezone
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from containerkit.errors import BuildError, InvalidArgument, NotFound, RegistryError, Unsupported
from containerkit.layers.compression import CHUNK
from containerkit.registry.connections import Broken, Response
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Trust
from containerkit.registry.transport import Transport

_ATTEMPTS = 3
_GIT = re.compile(r"(?:git://|ssh://|[\w.-]+@[\w.-]+:).*|https?://[^?#]*\.git(?:[?#].*)?")
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")


class Fetched(NamedTuple):
    """A file that was fetched. ``mtime`` in nanoseconds; ``name`` is empty where the URL has none."""

    path: str
    name: str
    digest: str
    mtime: int


def is_url(source: str) -> bool:
    """Whether a source is one.

    Raises:
        Unsupported: a git repository.
    """
    if _GIT.fullmatch(source):
        raise Unsupported(f"source {source}: a git repository (clone it, and copy from there)")
    return source.startswith(("http://", "https://"))


def fetch(url: str, workspace: Path, checksum: str = "", deadline: Deadline | None = None) -> Fetched:
    """Fetch a file into the private directory ``workspace``.

    Args:
        checksum: ``sha256:…`` that it must have; empty for any.
        deadline: when it has to be over.

    Raises:
        NotFound: there is nothing at the URL.
        BuildError: no answer, a refusal, or another content than the checksum's.
        InvalidArgument: the checksum is none, or the URL.
        Timeout: the deadline has come.
    """
    if checksum and not _CHECKSUM.fullmatch(checksum):
        raise InvalidArgument(f"--checksum={checksum}: expected sha256: and 64 hex digits")
    name = name_of(url)
    deadline = deadline or Deadline()
    path = f"{workspace}/fetched-{secrets.token_hex(4)}"
    try:
        digest, mtime = _fetch(url, path, deadline)
    except RegistryError as error:
        raise BuildError(f"source {url}: {error.message}") from error
    if checksum and digest != checksum:
        raise BuildError(f"source {url}: has digest {digest}, and --checksum={checksum} was asked for")
    return Fetched(path, name, digest, mtime)


def name_of(url: str) -> str:
    """What the file at a URL is called; empty where the URL has no name.

    Raises:
        InvalidArgument: it is no URL.
        Unsupported: it has a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidArgument(f"source {url[:200]}: not a URL: {error}") from error
    if "@" in parts.netloc:
        raise Unsupported(f"source {host}: a URL with a password (fetch it in a RUN, with a secret)")
    name = posixpath.basename(unquote(parts.path))
    return "" if name in (".", "..") or "\0" in name else name


def _fetch(url: str, path: str, deadline: Deadline) -> tuple[str, int]:
    transport = Transport(lambda authority: Trust(), deadline)
    for attempt in range(1, _ATTEMPTS + 1):
        with transport.request("GET", url) as response:
            if response.status == 404:
                raise NotFound(f"source {url}: not found")
            if response.status != 200:
                raise BuildError(f"source {url}: {response.complaint()}")
            try:
                return _written(response, path), _modified(response.headers.get("Last-Modified", ""))
            except Broken:
                if attempt == _ATTEMPTS:
                    raise
        transport.pause(attempt)
    raise AssertionError("unreachable")


def _written(response: Response, path: str) -> str:
    hasher = hashlib.sha256()
    with open(path, "wb") as out:
        while data := response.read(CHUNK):
            hasher.update(data)
            out.write(data)
    return f"sha256:{hasher.hexdigest()}"


def _modified(text: str) -> int:
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()) * 10**9
    except (ValueError, TypeError, OverflowError):
        return 0
