"""Who we are to a registry: docker's configuration file, its credential helpers, and podman's file.

Read in this order, the first that knows the registry wins: ``$REGISTRY_AUTH_FILE``; docker's file
(``$DOCKER_CONFIG/config.json``, default ``~/.docker``); ``$XDG_RUNTIME_DIR/containers/auth.json``;
``$XDG_CONFIG_HOME/containers/auth.json``. Written to the first of them that is named by the environment, else docker's.
Without ``XDG_RUNTIME_DIR`` (root has none) podman's is ``/run/containers/UID/auth.json``.

Sources: docker login's manual, "Credential stores"; containers-auth.json(5).

No secret is ever in a ``repr``, an error or a log.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from containerkit.errors import ContainerkitError, InvalidArgument, from_os_error
from containerkit.linux.files import locked
from containerkit.oci.reference import DEFAULT_DOMAIN
from containerkit.registry import helpers
from containerkit.values import frozen

#: The key under which docker keeps docker.io.
_DOCKER_HUB = "https://index.docker.io/v1/"
#: The user name of an identity token.
_TOKEN_USER = "<token>"
_RUN = "/run/containers"


@frozen
class Credentials:
    """A user and a password, or an identity token that stands for both."""

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)


def find(registry: str, repository: str = "") -> Credentials | None:
    """What is known for a registry; for a repository of it, where the file says something of that or of what is above.

    Raises:
        InvalidArgument: a file is damaged.
        RegistryError: a credential helper failed.
    """
    for path in _files():
        found = _File.read(path).find(registry, repository)
        if found is not None:
            return found
    return None


def store(registry: str, credentials: Credentials) -> str:
    """Keep them; returns where, in words.

    Raises:
        RegistryError: the credential helper failed.
        PermissionDenied: the file cannot be written.
    """
    file = _File.read(_files()[0])
    helper = file.helper(registry)
    if helper:
        user = _TOKEN_USER if credentials.identity_token else credentials.username
        helpers.store(helper, _key(registry), user, credentials.identity_token or credentials.password)
        # That docker knows there is something to ask the helper for.
        file.set(registry, {})
        return f"docker-credential-{helper}"
    pair = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    entry = {"auth": pair}
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    file.set(registry, entry)
    return str(file.path)


def erase(registry: str) -> bool:
    """Forget what is known for a registry, in every file and helper; whether there was something."""
    had = False
    for path in _files():
        file = _File.read(path)
        helper = file.helper(registry)
        # What the file itself has goes whatever the helper, which may be gone itself, says.
        had = file.remove(registry) or had
        if helper and helpers.get(helper, _key(registry)) is not None:
            helpers.erase(helper, _key(registry))
            had = True
    return had


def _files() -> list[Path]:
    home = os.path.expanduser("~")
    docker = Path(os.environ.get("DOCKER_CONFIG") or f"{home}/.docker") / "config.json"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    named = os.environ.get("REGISTRY_AUTH_FILE")
    paths = [Path(named)] if named else []
    podman = Path(runtime, "containers") if runtime else Path(_RUN, str(os.getuid()))
    return [*paths, docker, podman / "auth.json", Path(config, "containers", "auth.json")]


def _key(registry: str) -> str:
    return _DOCKER_HUB if registry == DEFAULT_DOMAIN else registry


def registry_of(key: str) -> str:
    """The registry (or a repository of it) that a key of ``auths`` is for: a name, or an address as docker has it."""
    address = key.partition("://")[2] or key
    host, _, path = address.partition("/")
    # Docker's files have URLs with the path of the API.
    name = host if path.strip("/") in ("", "v1", "v2") else address
    return DEFAULT_DOMAIN if name in ("index.docker.io", "registry-1.docker.io") else name


@dataclass
class _File:
    """One file, as it was read; everything in it that is not ours is kept."""

    path: Path
    data: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> _File:
        try:
            data = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return cls(path, {})
        except OSError as error:
            raise from_os_error(error, f"credentials {path}") from error
        except (ValueError, RecursionError):
            # Not the parser's words: they may quote the file.
            raise InvalidArgument(f"credentials {path}: not JSON") from None
        if not isinstance(data, dict):
            raise InvalidArgument(f"credentials {path}: not a JSON object")
        return cls(path, data)

    def _table(self, name: str) -> dict[str, Any]:
        found = self.data.get(name)
        return found if isinstance(found, dict) else {}

    def helper(self, registry: str) -> str:
        """The name of the helper that keeps what is for ``registry``; empty for none."""
        helpers = self._table("credHelpers")
        for key, helper in helpers.items():
            if registry_of(key) == registry and isinstance(helper, str):
                return helper
        general = self.data.get("credsStore")
        return general if isinstance(general, str) else ""

    def find(self, registry: str, repository: str) -> Credentials | None:
        helper = self.helper(registry)
        if helper and (known := helpers.get(helper, _key(registry))) is not None:
            user, secret = known
            return Credentials("", "", secret) if user == _TOKEN_USER else Credentials(user, secret)
        # Where a registry has several keys, its plain name counts.
        auths = sorted(self._table("auths").items(), key=lambda item: item[0] == registry_of(item[0]))
        entries = {registry_of(key): entry for key, entry in auths if isinstance(entry, dict) and entry}
        parts = repository.split("/") if repository else []
        for count in range(len(parts), -1, -1):
            entry = entries.get("/".join([registry, *parts[:count]]))
            if entry and (found := self._decode(entry, registry)) is not None:
                return found
        return None

    def _decode(self, entry: Mapping[str, Any], registry: str) -> Credentials | None:
        token = entry.get("identitytoken")
        pair = entry.get("auth")
        user, password = entry.get("username") or "", entry.get("password") or ""
        if isinstance(pair, str) and pair:
            try:
                user, colon, password = base64.b64decode("".join(pair.split()), validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                colon = ""
            if not colon:
                raise InvalidArgument(f"credentials {self.path}: auths.{registry}.auth is damaged (log in again)")
        if not user and not token:
            return None
        return Credentials(str(user), str(password).rstrip("\0"), token if isinstance(token, str) else "")

    def set(self, registry: str, entry: Mapping[str, str]) -> None:
        self._change(registry, {_key(registry): dict(entry)})

    def remove(self, registry: str) -> bool:
        if not any(registry_of(key) == registry for key in self._table("auths")):
            return False
        self._change(registry, {})
        return True

    def _change(self, registry: str, entries: Mapping[str, Any]) -> None:
        """Have ``entries`` instead of what there is for a registry."""
        target = self.path.resolve() if self.path.is_symlink() else self.path
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Nobody else of us changes a file there meanwhile.
            with locked(target.parent, is_directory=True):
                data = _File.read(self.path).data
                auths = data.get("auths")
                known = auths if isinstance(auths, dict) else {}
                kept = {key: value for key, value in known.items() if registry_of(key) != registry}
                _write(target, {**data, "auths": {**kept, **entries}})
        except OSError as error:
            if isinstance(error, ContainerkitError):
                raise
            raise from_os_error(error, f"credentials {self.path}") from error


def _write(target: Path, data: Mapping[str, Any]) -> None:
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w") as file:
            json.dump(data, file, indent="\t")
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0 and target.exists():
                # Root changes it for its owner (sudo).
                os.fchown(file.fileno(), target.stat().st_uid, target.stat().st_gid)
        os.rename(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
