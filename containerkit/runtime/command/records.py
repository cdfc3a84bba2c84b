"""The root directory: one directory for each container, with its record.

::

    ROOT/ID/state.json   the record, replaced as a whole
    ROOT/ID/config.json  the configuration as it was when it was created, and seccomp.bpf
    ROOT/ID/start        the socket on which the init waits for the word; gone once it runs
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import field, replace

from containerkit.errors import AlreadyExists, InvalidArgument, InvalidState, NotFound, from_os_error
from containerkit.linux import process
from containerkit.linux.cgroups import Cgroup
from containerkit.oci import codec
from containerkit.oci.runtime_spec import SPEC_VERSION, Spec
from containerkit.runtime import bundle
from containerkit.values import frozen

_ID = re.compile(r"[A-Za-z0-9_+.-]+")


@frozen
class Record:
    """What is known of a container.

    Args:
        pid: its init's, 0 before there is one; ``started`` its start time in clock ticks since boot.
        maker: the pid and start time of the process that creates it.
        created: seconds since the epoch.
    """

    id: str
    bundle: str
    rootfs: str
    pid: int = 0
    started: int = 0
    maker: tuple[int, ...] = ()
    created: float = 0.0
    cgroup: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


class Records:
    """All containers below one root.

    Args:
        root: an absolute path, made when the first container is.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def directory(self, id: str) -> str:
        """The place of one container.

        Raises:
            InvalidArgument: that can be no id.
        """
        if not _ID.fullmatch(id) or id in (".", "..") or len(id) > 200:
            raise InvalidArgument(f"container {id!r}: an id is made of letters, digits and _+.-")
        return os.path.join(self.root, id)

    def add(self, id: str, bundle_path: str, rootfs: str, cgroup: str) -> Record:
        """A record of a container that is about to be made: whatever is killed, it tells what to remove.

        Raises:
            AlreadyExists: there is one with that id.
        """
        path = self.directory(id)
        me = os.getpid()
        maker = (me, process.start_time(me) or 0)
        record = Record(id, bundle_path, rootfs, maker=maker, created=time.time(), cgroup=cgroup)
        try:
            os.makedirs(self.root, mode=0o711, exist_ok=True)
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                self._clear_torn(id)
                os.mkdir(path, 0o700)
        except FileExistsError:
            raise AlreadyExists(f"container {id}: there is one with that id") from None
        except OSError as error:
            raise from_os_error(error, f"container {id}") from error
        self.write(record)
        return record

    def _clear_torn(self, id: str) -> None:
        # Whoever made the directory was killed before it wrote the record.
        if not os.path.exists(os.path.join(self.directory(id), "state.json")):
            shutil.rmtree(self.directory(id), ignore_errors=True)

    def write(self, record: Record) -> None:
        """Write it down, as a whole or not at all."""
        write_atomically(os.path.join(self.directory(record.id), "state.json"), codec.dumps(record))

    def read(self, id: str) -> Record:
        """The record of that container.

        Raises:
            NotFound: there is none.
        """
        try:
            with open(os.path.join(self.directory(id), "state.json")) as file:
                return codec.loads(Record, file.read(), f"container {id}: state.json")
        except FileNotFoundError:
            raise NotFound(f"container {id}: does not exist") from None

    def ids(self) -> list[str]:
        """All ids, sorted."""
        try:
            return sorted(name for name in os.listdir(self.root) if _ID.fullmatch(name))
        except FileNotFoundError:
            return []

    def all(self) -> list[Record]:
        """All records; what is removed meanwhile is left out."""
        found = []
        for id in self.ids():
            try:
                found.append(self.read(id))
            except NotFound:
                continue
        return found

    def remove(self, record: Record) -> None:
        """Forget it."""
        shutil.rmtree(self.directory(record.id), ignore_errors=True)

    def socket(self, record: Record) -> str:
        """Where its init listens for the word to start."""
        return os.path.join(self.directory(record.id), "start")

    def status(self, record: Record) -> str:
        """creating, created, running, paused or stopped."""
        if not record.pid:
            is_being_made = record.maker and process.start_time(record.maker[0]) == record.maker[1]
            return "creating" if is_being_made else "stopped"
        if process.start_time(record.pid) != record.started:
            return "stopped"
        if os.path.exists(self.socket(record)):
            return "created"
        return "paused" if record.cgroup and _is_frozen(record.cgroup) else "running"

    def require(self, record: Record, verb: str, *statuses: str) -> None:
        """Raises:
        InvalidState: its status is none of ``statuses``.
        """
        status = self.status(record)
        if status not in statuses:
            raise InvalidState(f"container {record.id}: cannot {verb}: it is {status}")

    def spec(self, record: Record) -> Spec:
        """The configuration it was created with."""
        return bundle.load(self.directory(record.id))

    def state(self, record: Record) -> dict[str, object]:
        """What the specification calls its state."""
        status = self.status(record)
        return {
            "ociVersion": SPEC_VERSION, "id": record.id, "status": status,
            "pid": 0 if status == "stopped" else record.pid, "bundle": record.bundle, "rootfs": record.rootfs,
            "created": moment(record.created), "owner": "", "annotations": record.annotations,
        }  # fmt: skip


def _is_frozen(path: str) -> bool:
    cgroup = Cgroup(path)
    return cgroup.exists() and cgroup.is_frozen()


def moment(seconds: float) -> str:
    """RFC 3339, UTC."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e9):09d}Z"


def write_atomically(path: str, text: str) -> None:
    """The file has the whole text or what it had before.

    Raises:
        ContainerkitError: it cannot be written.
    """
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise from_os_error(error, path) from error


def with_pid(record: Record, pid: int, annotations: dict[str, str]) -> Record:
    """The record of a container that has its init."""
    return replace(record, pid=pid, started=process.start_time(pid) or 0, annotations=annotations)
