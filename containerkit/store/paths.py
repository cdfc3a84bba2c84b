"""The one place that knows a path.

::

    ROOT/                            /var/lib/containerkit; also an OCI image layout
        oci-layout  index.json       for other tools; written from the references in metadata.db
        blobs/sha256/<hex>           manifests, configs, layers: verified before they get their name
        metadata.db                  images, containers, events (SQLite, WAL)
        reserve                      room for a prune on a full disk (store/reserve.py)
        leases                       a lock per living container (store/leases.py)
        layers/<chain id hex>/fs     a layer unpacked, read-only from then on
            owners-<uid>-<gid>/fs    the same with other owners (store/owners.py)
        containers/<id>/             a bundle and what belongs to it
            config.json              the runtime-spec configuration
            rootfs/                  where overlayfs is mounted, in the container's own mount namespace
            upper/  work/            the writable layer
            log  log.1 …             output (supervise/output/log.py)
            timings.json             what each operation of the last start cost
        volumes/<name>/data          what a volume holds (store/volumes.py); filling, filled: on its way there
        cache/seccomp/<hex>.bpf      compiled filters
        cache/host/<fingerprint>     image id of programs of this machine that were asked for before
        cache/debian/<fingerprint>   image id of a Debian system that was asked for before
        cache/build/<name>/data      a cache that commands of builds have mounted (builder/mounting.py)
        downloads/<hex>              blobs on their way from a registry (store/downloads.py)
        tmp/                         work in progress: swept when its owner is gone
        removed/<id>                 what was a container's, on its way out
    RUN/                             /run/containerkit: gone after a reboot
        containers/<id>              the socket of a running container's monitor (supervise/control.py)
        secrets/                     of builds, while they run
        networks                     a lock: held by whoever makes bridges, lays the firewall, starts a keeper
        networks.socket              where the keeper of an ordinary user's networks listens (net/keeper.py)
"""

from __future__ import annotations

import os
from pathlib import Path

from containerkit.configuration import Configuration
from containerkit.errors import PermissionDenied
from containerkit.linux.files import scatter
from containerkit.values import frozen


@frozen
class Paths:
    """Every path below one root and one run directory."""

    root: Path
    run: Path

    @classmethod
    def default(cls, configuration: Configuration) -> Paths:
        """The configuration's places, else the system's (root) or XDG's directories (others)."""
        if os.geteuid() == 0:
            root, run = Path("/var/lib/containerkit"), Path("/run/containerkit")
        else:
            root = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "containerkit"
            run = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/containerkit-{os.geteuid()}") / "containerkit"
        chosen = [Path(one).expanduser().absolute() for one in (configuration.root or root, configuration.run or run)]
        return cls(*chosen)

    @property
    def database(self) -> Path:
        return self.root / "metadata.db"

    @property
    def leases(self) -> Path:
        return self.root / "leases"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    def control(self, id: str) -> str:
        """The socket that a running container's monitor listens at."""
        return f"{self.run}/containers/{id}"

    @property
    def network_lock(self) -> str:
        """The file that is locked while what networks share is made."""
        return f"{self.run}/networks"

    @property
    def keeper(self) -> str:
        """The socket that the keeper of an ordinary user's networks listens at."""
        return f"{self.run}/networks.socket"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def seccomp_cache(self) -> Path:
        return self.root / "cache" / "seccomp"

    @property
    def host_images(self) -> Path:
        return self.root / "cache" / "host"

    @property
    def debian_images(self) -> Path:
        return self.root / "cache" / "debian"

    @property
    def build_caches(self) -> Path:
        return self.root / "cache" / "build"

    @property
    def secrets(self) -> Path:
        return self.run / "secrets"

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def removed(self) -> Path:
        return self.root / "removed"

    def create(self) -> None:
        """Make the directories that everything else relies on (idempotent)."""
        for path in (
            self.blobs, self.layers, self.containers, self.volumes, self.seccomp_cache, self.downloads, self.tmp,
            self.removed, self.run / "containers", self.secrets,
        ):  # fmt: skip
            path.mkdir(parents=True, exist_ok=True)
        if (owner := self.run.stat().st_uid) not in (os.geteuid(), 0):
            # Below /tmp anybody can be there first.
            raise PermissionDenied(
                f"run directory {self.run}: belongs to user {owner}: choose another CONTAINERKIT_RUN"
            )
        # What is in the store belongs to its owner: layers hold set-user-ID programs and other people's files.
        for path in (self.root, self.layers, self.containers, self.volumes, self.tmp, self.removed, self.secrets):
            path.chmod(0o700)
        for path in (self.volumes, self.tmp):  # what is unpacked is unpacked in tmp
            scatter(path)
        self.run.chmod(0o711)
