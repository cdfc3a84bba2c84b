"""What there is to be had of this machine, and who asks."""

from __future__ import annotations

import os

from containerkit.linux import confinement
from containerkit.linux.cgroups import delegated_parent
from containerkit.oci.users import Identity
from containerkit.options import Settings
from containerkit.store.owners import Exchange
from containerkit.supervise import userns
from containerkit.values import frozen


@frozen
class Machine:
    """What there is to be had of the machine.

    Args:
        is_rootless: it is an ordinary user who asks.
        cgroup: the path of the cgroup below which others may be made; None for nowhere.
        users, groups: how many there are: 2**31, or those of the user namespace.
        person: the user and the group of who asks; where that is root by sudo(8), of who called that.
    """

    is_rootless: bool = False
    cgroup: str | None = ""
    users: int = 2**31
    groups: int = 2**31
    person: tuple[int, int] = (0, 0)

    @classmethod
    def here(cls) -> Machine:
        """Of this process."""
        if os.geteuid() == 0:
            return cls(person=_by_sudo() or (0, os.getegid()))
        users, groups = (sum(size for *_, size in rows) for rows in confinement.id_maps())
        return cls(True, delegated_parent(), users, groups, (os.geteuid(), os.getegid()))

    def kept(self, settings: Settings) -> userns.Kept | None:
        """Who is kept by ``userns="keep-id"``."""
        return userns.kept(settings.userns, self.person)

    def exchange(self, settings: Settings) -> Exchange | None:
        """Who changes places with root on the container's disk."""
        kept = self.kept(settings) if self.is_rootless else None
        return kept.exchange(self.users, self.groups) if kept is not None else None

    def on_disk(self, settings: Settings, who: Identity) -> Identity:
        """A user of the container by the numbers that the files on the disk have."""
        kept = self.kept(settings) if self.is_rootless else None
        return kept.on_disk(who, self.users, self.groups) if kept is not None else who

    def swapped(self, settings: Settings) -> userns.Kept | None:
        """Root's: whose files are shown as another's where paths of the host are mounted; None for nobody's."""
        kept = None if self.is_rootless else self.kept(settings)
        return kept if kept is not None and kept.inside != kept.outside else None


def _by_sudo() -> tuple[int, int] | None:
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    return (int(uid), int(gid)) if uid.isdecimal() and gid.isdecimal() else None
