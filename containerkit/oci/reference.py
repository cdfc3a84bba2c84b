"""Image references: how people name images.

::

    reference   = name [ ":" tag ] [ "@" digest ]
    name        = [ domain "/" ] path                        255 characters at most
    domain      = host [ ":" digits ]
    host        = label { "." label } | "[" IPv6 address "]"
    label       = letter or digit, and "-" within
    path        = component { "/" component }
    component   = word { separator word }
    word        = lower-case letters and digits
    separator   = "." | "_" | "__" | "-" { "-" }
    tag         = letter, digit or "_", then up to 127 of those, "." and "-"
    digest      = "sha256:" and 64 hex digits

The first part is a domain when it has a ``.`` or a ``:``, is ``localhost``, or has a capital letter; otherwise the
domain is ``docker.io``, and a path of one component is below ``library/``. No tag and no digest means ``latest``.
Source: distribution/reference, as Docker applies it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from containerkit.errors import InvalidArgument
from containerkit.oci import digest as digests
from containerkit.values import frozen

DEFAULT_DOMAIN, OFFICIAL, DEFAULT_TAG = "docker.io", "library/", "latest"

_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_WORD}(?:/{_WORD})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX_ID = re.compile(r"[0-9a-f]{64}")


@frozen
class Reference:
    """A name, and what of that name: a tag, a digest, or both. ``tag`` is empty when only a digest is given."""

    domain: str
    path: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that ``text`` is.

        Raises:
            InvalidArgument: it does not follow the grammar above.
        """
        return _parse(text)

    @property
    def name(self) -> str:
        """Domain and path: ``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def full(self) -> str:
        """Everything written out: ``docker.io/library/busybox:1``."""
        return self.name + self._rest

    @property
    def familiar(self) -> str:
        """As people write it: ``busybox:1``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.full
        short = self.path.removeprefix(OFFICIAL)
        found = self.path if "/" in short else short
        # A path may begin like a domain: then it is none without its own.
        return (found if _split(found) == (self.domain, self.path) else self.name) + self._rest

    @property
    def _rest(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.familiar


@lru_cache(maxsize=1024)
def _parse(text: str) -> Reference:
    def refuse(reason: str) -> InvalidArgument:
        return InvalidArgument(f"image {text[:300]}: {reason}")

    if "://" in text:
        raise refuse("an address, not a name (leave out what is before the host)")
    rest, at, digest = text.partition("@")
    if at and not digests.is_digest(digest):
        raise refuse(f"{digest[:80]!r} is not a sha256 digest")
    # A colon before the last slash belongs to a port.
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    name = head + slash + last
    if colon and not _TAG.fullmatch(tag):
        raise refuse(f"{tag[:130]!r} is not a tag (letters, digits, _ . -, at most 128, not beginning with . or -)")
    if _HEX_ID.fullmatch(name):
        raise refuse("64 hex digits are an image id, not a name")
    domain, path = _split(name)
    if not _DOMAIN.fullmatch(domain):
        raise refuse(f"{domain!r} is not a registry's name")
    if not _PATH.fullmatch(path):
        if path != path.lower() and _PATH.fullmatch(path.lower()):
            raise refuse(f"the name must be lower-case (did you mean {name.lower()}?)")
        raise refuse("not a reference (expected [registry/]name[:tag][@digest])")
    if len(domain) + 1 + len(path) > 255:
        raise refuse("the name is longer than 255 characters")
    return Reference(domain, path, tag or ("" if digest else DEFAULT_TAG), digest)


def _split(name: str) -> tuple[str, str]:
    """Domain and path, with the defaults filled in."""
    first, slash, path = name.partition("/")
    is_domain = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_domain:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain = DEFAULT_DOMAIN if first == "index.docker.io" else first
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = OFFICIAL + path
    return domain, path
