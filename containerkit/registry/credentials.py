"""Who we are to a registry: docker's configuration file, its credential helpers, and podman's file.

Read in this order, the first that knows the registry wins: ``$REGISTRY_AUTH_FILE``; docker's file
(``$DOCKER_CONFIG/config.json``, default ``~/.docker``); ``$XDG_RUNTIME_DIR/containers/auth.json``;
``$XDG_CONFIG_HOME/containers/auth.json``. Written to the first of them that is named by the environment, else docker's.

Sources: docker login's manual, "Credential stores"; docker-credential-helpers' protocol; containers-auth.json(5).

No secret is ever in a ``repr``, an error or a log.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from containerkit.errors import InvalidArgument, NotFound, RegistryError, from_os_error
from containerkit.oci.reference import DEFAULT_DOMAIN

#: The key under which docker keeps docker.io.
_DOCKER_HUB = "https://index.docker.io/v1/"
#: What a helper answers that has nothing.
_NOTHING = ("credentials not found in native keychain", "no credentials server url", "no credentials username")
#: The user name of an identity token.
_TOKEN_USER = "<token>"
_HELPER_TAKES = 30.0


@dataclass(frozen=True)
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
        secret = credentials.identity_token or credentials.password
        user = _TOKEN_USER if credentials.identity_token else credentials.username
        _ask(helper, "store", json.dumps({"ServerURL": _key(registry), "Username": user, "Secret": secret}))
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
        if helper and file.find(registry, "") is not None:
            _ask(helper, "erase", _key(registry))
            had = True
        had = file.remove(registry) or had
    return had


def _files() -> list[Path]:
    home = os.path.expanduser("~")
    docker = Path(os.environ.get("DOCKER_CONFIG") or f"{home}/.docker") / "config.json"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    named = os.environ.get("REGISTRY_AUTH_FILE")
    paths = [Path(named)] if named else []
    paths.append(docker)
    if runtime:
        paths.append(Path(runtime) / "containers" / "auth.json")
    return [*paths, Path(config) / "containers" / "auth.json"]


def _key(registry: str) -> str:
    return _DOCKER_HUB if registry == DEFAULT_DOMAIN else registry


def _name(key: str) -> str:
    """The registry, or registry and repository, that a key of ``auths`` is for."""
    if key == _DOCKER_HUB:
        return DEFAULT_DOMAIN
    name = key.partition("://")[2] or key
    # Old files have URLs with the path of the API.
    for end in ("/v1/", "/v2/", "/v1", "/v2", "/"):
        name = name.removesuffix(end)
    return DEFAULT_DOMAIN if name in ("index.docker.io", "registry-1.docker.io") else name


@dataclass
class _File:
    """One file, as it was read; everything in it that is not ours is kept."""

    path: Path
    data: dict[str, Any]

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
            if _name(key) == registry and isinstance(helper, str):
                return helper
        general = self.data.get("credsStore")
        return general if isinstance(general, str) else ""

    def find(self, registry: str, repository: str) -> Credentials | None:
        helper = self.helper(registry)
        if helper and (found := _ask_for(helper, registry)) is not None:
            return found
        entries = {_name(key): entry for key, entry in self._table("auths").items() if isinstance(entry, dict)}
        parts = repository.split("/") if repository else []
        for count in range(len(parts), -1, -1):
            entry = entries.get("/".join([registry, *parts[:count]]))
            if entry and (found := self._decode(entry, registry)) is not None:
                return found
        return None

    def _decode(self, entry: Mapping[str, Any], registry: str) -> Credentials | None:
        token = entry.get("identitytoken")
        pair = entry.get("auth")
        user, password = entry.get("username", ""), entry.get("password", "")
        if isinstance(pair, str) and pair:
            try:
                user, colon, password = base64.b64decode(pair, validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                colon = ""
            if not colon:
                raise InvalidArgument(f"credentials {self.path}: auths.{registry}.auth is damaged (log in again)")
        if not user and not token:
            return None
        return Credentials(str(user), str(password).rstrip("\0"), token if isinstance(token, str) else "")

    def set(self, registry: str, entry: Mapping[str, str]) -> None:
        auths = {key: value for key, value in self._table("auths").items() if _name(key) != registry}
        auths[_key(registry)] = dict(entry)
        self._write({**self.data, "auths": auths})

    def remove(self, registry: str) -> bool:
        auths = self._table("auths")
        kept = {key: value for key, value in auths.items() if _name(key) != registry}
        if len(kept) == len(auths):
            return False
        self._write({**self.data, "auths": kept})
        return True

    def _write(self, data: Mapping[str, Any]) -> None:
        target = self.path.resolve() if self.path.is_symlink() else self.path
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(descriptor, "w") as file:
                    json.dump(data, file, indent="\t")
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(partial, target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise from_os_error(error, f"credentials {self.path}") from error
        self.data = dict(data)


def _ask_for(helper: str, registry: str) -> Credentials | None:
    try:
        answer = json.loads(_ask(helper, "get", _key(registry)))
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except NotFound:
        return None
    except (ValueError, KeyError, TypeError):
        raise RegistryError(f"registry {registry}: docker-credential-{helper}: an answer that is none") from None
    return Credentials("", "", secret) if user == _TOKEN_USER else Credentials(user, secret)


def _ask(helper: str, verb: str, text: str) -> str:
    """What the helper prints.

    Raises:
        NotFound: it has nothing.
        RegistryError: it failed.
    """
    if not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise InvalidArgument(f"credential helper {helper!r}: not a name")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb], input=text.encode(), capture_output=True, timeout=_HELPER_TAKES, check=False
        )
    except FileNotFoundError:
        raise RegistryError(
            f"credential helper {program}: not installed, and docker's configuration names it"
        ) from None
    except (OSError, subprocess.TimeoutExpired):
        raise RegistryError(f"credential helper {program}: {verb} failed") from None
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0:
        return said
    if any(said.lower().startswith(words) for words in _NOTHING):
        raise NotFound(f"credential helper {program}: nothing for it")
    # Of a get that failed, what it printed is words and no secret; of a store nothing is repeated.
    raise RegistryError(f"credential helper {program}: {verb} failed" + (f": {said[:200]}" if verb == "get" else ""))
