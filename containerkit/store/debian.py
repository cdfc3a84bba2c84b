"""Debian root file systems, made by Debian's own tools from this machine's apt sources.

::

    aptsources     where this machine's packages come from, for that suite
    isolated       mmdebstrap(1), or debootstrap(8), in namespaces of its own, into a private directory of the store
    debianlayer    the tree becomes a layer, without what belongs to this machine
    imports        an image; which one, is remembered for the next call
"""

from __future__ import annotations

import collections
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from containerkit.errors import (
    BuildError,
    ContainerkitError,
    InvalidArgument,
    NotFound,
    StorageError,
    Timeout,
    Unsupported,
    from_os_error,
)
from containerkit.layers import aptsources, debianlayer
from containerkit.layers.aptsources import Source
from containerkit.layers.hostprograms import DEFAULT_PATH
from containerkit.linux import confinement, isolated
from containerkit.oci.image_config import ContainerConfig
from containerkit.oci.reference import Reference
from containerkit.progress import Progress
from containerkit.store import imports, rights
from containerkit.store.images import ImageRecord
from containerkit.store.ingest import Ingest, Written, write_layer
from containerkit.store.store import Store
from containerkit.values import frozen
from containerkit.views import text

#: Debian Policy, 5.6.1; a suite is a directory of the archive.
_PACKAGE, _SUITE = re.compile(r"[a-z0-9][a-z0-9+.-]+"), re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: How many of the tool's last lines an error carries.
_KEPT = 20
_MERGED_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
#: What cannot be installed is found out before the rest is.
_CAN_INSTALL = (
    '[ "$MMDEBSTRAP_APT_CONFIG" ] || exit 0; cd "$1"; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG";'
    "apt-get update -qq && apt-get install --simulate -qq >/dev/null "
)
#: apt.conf(5). Its caches, archives and descriptions in other languages are more than many a package that they are of.
_APT = """\
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
"""

#: A line that tells of a step, in the words of either tool.
_STEP = re.compile(r"I: (?!running --|skipping |main\(\)|chroot |finding )(.+?)(?:\.\.\.)?")


def from_debian(
    store: Store, suite: str, packages: Iterable[str], tag: str | None, *,
    fresh: bool, timeout: float | None, progress: Progress,
) -> ImageRecord:  # fmt: skip
    """As ``Image.from_debian``.

    Args:
        fresh: make it anew, whatever is remembered.
        timeout: seconds.
    """
    if tag is not None:
        Reference.parse(tag)
    wishes = _Wishes.of(suite, packages)
    tool = _tool()
    known = store.paths.debian_images / wishes.fingerprint(tool)
    if not fresh and (found := imports.recall(store, known, tag)) is not None:
        return found
    progress.begin(f"making Debian {suite}")
    summary = f"Debian {suite}: not made"
    steps = _Steps(progress)
    try:
        with store.ingest() as ingest:
            _bootstrap(tool, wishes, ingest, timeout, steps.tell)
            steps.tell("packing")
            written = rights.call(_pack, f"{ingest.path}/layer", ingest.path / "root", wishes.sources)
            layer = store.place(ingest, written)
            config = ContainerConfig(env=("PATH=" + ":".join(DEFAULT_PATH),), cmd=("bash",))
            history = " ".join(("from_debian", suite, *wishes.packages))
            record = imports.add_layer(store, ingest, layer, written.packed, config, history, tag)
            imports.remember(known, record.id, ingest)
        steps.end()
        summary = f"Debian {suite}: {text.size(record.size)}, {record.id}"
        return record
    except ContainerkitError:
        raise
    except OSError as error:
        raise from_os_error(error, f"from_debian: suite {suite}") from error
    finally:
        progress.end(summary)


class _Steps:
    """One after another, as items of a progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._now = ""

    def tell(self, step: str) -> None:
        """The one before is done, and this one begins."""
        self.end()
        self._now = step
        self._progress.item(step, "…")

    def end(self) -> None:
        """The last one is done."""
        if self._now:
            self._progress.item(self._now, "done")


@frozen
class _Wishes:
    suite: str
    packages: tuple[str, ...]
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, suite: str, packages: Iterable[str]) -> _Wishes:
        if not _SUITE.fullmatch(suite):
            raise InvalidArgument(f"from_debian: suite {suite!r}: expected a name like bookworm")
        wanted = tuple(sorted({packages} if isinstance(packages, str) else {*packages}))
        for name in wanted:
            if not _PACKAGE.fullmatch(name):
                raise InvalidArgument(f"from_debian: package {name!r}: not the name of a package")
        return cls(suite, wanted, tuple(aptsources.of_suite(suite, aptsources.of_machine())))

    def fingerprint(self, tool: str) -> str:
        """Of all that decides what is made, short of what the archive has by then."""
        told = f"{debianlayer.FORMAT} {tool} {platform.machine()} {self.suite} {self.packages}\n{self.written}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def written(self) -> str:
        return "\n".join(str(source) for source in self.sources)


def _tool() -> str:
    """The name of the tool to use.

    Raises:
        Unsupported: there is none that this user can use.
    """
    if shutil.which("mmdebstrap"):
        if confinement.is_rootless() and len(confinement.id_maps()[0]) == 1 and os.geteuid() != 0:
            raise Unsupported(
                "from_debian: a Debian system has files of several users, and this user has no subordinate ids (as "
                "root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER)"
            )
        return "mmdebstrap"
    if os.path.exists("/usr/sbin/debootstrap") and not confinement.is_rootless():
        return "debootstrap"
    raise Unsupported("from_debian: mmdebstrap is not installed (Debian package mmdebstrap)")


def _bootstrap(tool: str, wishes: _Wishes, ingest: Ingest, timeout: float | None, told: Callable[[str], None]) -> None:
    """Make the file system in ``root`` of the ingest.

    Raises:
        NotFound: no such suite or package.
        StorageError: the disk is full.
        BuildError: the tool failed for another reason.
        Timeout: time was up.
    """
    words = (_mmdebstrap if tool == "mmdebstrap" else _debootstrap)(wishes, ingest.path)
    last: collections.deque[str] = collections.deque(maxlen=_KEPT)

    def heard(line: str) -> None:
        last.append(line)
        if (step := _STEP.fullmatch(line)) is not None:
            told(step[1])

    # Packages' scripts see it, too: nothing but what fetching takes. In one language, to be understood here.
    environment = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    environment |= {
        "PATH": os.environ.get("PATH", "") + ":" + ":".join(DEFAULT_PATH), "TMPDIR": str(ingest.path), "HOME": "/root",
        "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
    }  # fmt: skip
    subject = f"from_debian: suite {wishes.suite}"
    try:
        code = isolated.run(words, environment, heard, timeout)
    except TimeoutError:
        raise Timeout(f"{subject}: not there after {timeout:g} s; ended", log="\n".join(last)) from None
    if code != 0:
        raise _failure(subject, f"{tool}: exit code {code}", "\n".join(last))


def _mmdebstrap(wishes: _Wishes, here: Path) -> list[str]:
    (here / "debian.sources").write_text(wishes.written)
    (here / "apt.conf").write_text(aptsources.options())
    words = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=directory", f"--aptopt={here}/apt.conf"]
    # The lists say when the packages are from; nothing here has to survive a power cut.
    words += ["--skip=cleanup/apt/lists", "--dpkgopt=force-unsafe-io"]
    if os.path.isdir(_MERGED_USR):
        words.append(f"--hook-dir={_MERGED_USR}")
    if wishes.packages:
        words += ["--setup-hook=" + _CAN_INSTALL + " ".join(wishes.packages), "--include=" + ",".join(wishes.packages)]
    return [*words, wishes.suite, f"{here}/root", *([f"{here}/debian.sources"] if wishes.sources else [])]


def _debootstrap(wishes: _Wishes, here: Path) -> list[str]:
    words = ["/usr/sbin/debootstrap", "--variant=minbase"]
    if wishes.packages:
        words.append("--include=" + ",".join(wishes.packages))
    main = next((source for source in wishes.sources if wishes.suite in source.suites), None)
    if main is None:
        return [*words, wishes.suite, f"{here}/root"]
    if main.components:
        words.append("--components=" + ",".join(main.components))
    keyring = dict(main.options).get("Signed-By", "")
    if keyring.startswith("/"):
        words.append(f"--keyring={keyring}")
    return [*words, wishes.suite, f"{here}/root", main.uris[0]]


def _failure(subject: str, what: str, log: str) -> ContainerkitError:
    """What the tool's last words mean."""
    if "No space left on device" in log:
        return StorageError(f"{subject}: no space left on device: free some space", log=log)
    package = re.search(
        r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate"
        r"|Couldn't find these debs: (\S+)", log,
    )  # fmt: skip
    if package is not None:
        return NotFound(f"{subject}: package {next(filter(None, package.groups()))}: not found", log=log)
    if re.search(r"does not have a Release file|No such script|Failed getting release file|Invalid Release file", log):
        return NotFound(f"{subject}: not found where this machine's apt gets its packages", log=log)
    return BuildError(f"{subject}: {what}", log=log)


def _pack(space: str, root: Path, sources: tuple[Source, ...]) -> Written:
    _settle(root, sources)
    _configure(root)
    return write_layer(space, lambda archive: debianlayer.add_debian(archive, root))


def _configure(root: Path) -> None:
    """Let apt in there keep what it installs and nothing else, and not wait for the disk: as containers have it."""
    (root / "etc/apt/apt.conf.d/90container").write_text(_APT)
    (root / "etc/dpkg/dpkg.cfg.d").mkdir(exist_ok=True)
    (root / "etc/dpkg/dpkg.cfg.d/90container").write_text("force-unsafe-io\n")


def _settle(root: Path, sources: tuple[Source, ...]) -> None:
    """Let apt in there have the sources, where the tool has written others, and the keys to them."""
    places = root / "etc/apt"
    if sources and not any((places / "sources.list.d").iterdir()):
        (places / "sources.list.d/debian.sources").write_text("\n".join(str(source) for source in sources))
        (places / "sources.list").unlink(missing_ok=True)
    for source in sources:
        for path in dict(source.options).get("Signed-By", "").split():
            if path.startswith("/") and os.path.exists(path) and not os.path.lexists(f"{root}{path}"):
                os.makedirs(os.path.dirname(f"{root}{path}"), exist_ok=True)
                shutil.copy(path, f"{root}{path}")
