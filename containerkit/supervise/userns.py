"""Which users of the host a container's users are: ``userns="remap"``, and ``userns="keep-id"``.

Words of the latter: the *person* is who runs the container, a user and a group of the host. Root's person is whom
sudo(8) has made root of, else root. *Kept* is the person with the user and the group that it is inside.

::

    root's            no user namespace. The process is the person, by the same numbers; where these shall be others
                      inside, the host's paths are mounted so that the two have changed places (mount_setattr(2))
    an ordinary       a user namespace in that of all its containers (linux/confinement.py), where the person is root:
    user's            inside, root and the person have changed places. On the disk an image's root is the person, too,
                      so such a container has copies of the layers in which they have changed places as well
                      (store/owners.py)
    one without       that namespace has the person alone, and so has this one: all files are the person's
    subordinate ids

Sources: subuid(5), user_namespaces(7), podman-run(1) ("--userns=keep-id").
"""

from __future__ import annotations

from dataclasses import replace

from containerkit.linux import confinement
from containerkit.oci.runtime_spec import IDMapping, Mount, mapped
from containerkit.oci.users import Identity
from containerkit.options.users import keep_id
from containerkit.store.owners import Exchange
from containerkit.values import frozen

#: The name whose ranges in ``/etc/subuid`` and ``/etc/subgid`` are taken.
OWNER = "containerkit"
#: Where there is none: a range that is set aside for nothing (systemd, "Users, Groups, UIDs and GIDs").
_BASE, _SIZE = 0x7000_0000, 65536
#: How many users the kernel knows: the last number is none (-1).
_EVERYBODY = 2**32 - 1

Maps = tuple[tuple[IDMapping, ...], tuple[IDMapping, ...]]


def maps() -> Maps:
    """The maps of users and of groups, of ``remap``."""
    return (_range("/etc/subuid"),), (_range("/etc/subgid"),)


def _range(path: str) -> IDMapping:
    for first, count in confinement.ranges(path, (OWNER,)):
        return IDMapping(0, first, min(count, _SIZE))
    return IDMapping(0, _BASE, _SIZE)


@frozen
class Kept:
    """A person of the host, and who that is inside: user and group each."""

    outside: tuple[int, int]
    inside: tuple[int, int]

    @property
    def user(self) -> str:
        """As the option ``user`` writes it."""
        return "{}:{}".format(*self.inside)

    def maps(self, users: int, groups: int) -> Maps:
        """Those of an ordinary user's container, as seen from where the person is root.

        Args:
            users, groups: how many there are.

        Returns:
            None at all where the person is root inside, too.
        """
        if self.inside == (0, 0):
            return (), ()
        return _with_first(self.inside[0], users), _with_first(self.inside[1], groups)

    def exchange(self, users: int, groups: int) -> Exchange | None:
        """Who has changed places with root on the disk of that container; None for nobody."""
        uid, gid = (_stand_in(id, count) for id, count in zip(self.inside, (users, groups), strict=True))
        return Exchange(uid, gid) if uid or gid else None

    def on_disk(self, who: Identity, users: int, groups: int) -> Identity:
        """A user of that container by the numbers that its files have where the person is root."""
        uids, gids = self.maps(users, groups)
        uid, gid = mapped(uids, who.uid), mapped(gids, who.gid)
        return who if uid is None or gid is None else replace(who, uid=uid, gid=gid)

    def on_host(self, uid: int, gid: int) -> tuple[int, int]:
        """A user and a group of root's container by the numbers that their files have in what is :meth:`shown`."""
        users, groups = zip(self.outside, self.inside, strict=True)
        return _other(uid, *users), _other(gid, *groups)

    def shown(self, mount: Mount) -> Mount:
        """Root's mount of a path of the host: the person's files are of who the person is inside, and the other way."""
        (from_uid, to_uid), (from_gid, to_gid) = zip(self.outside, self.inside, strict=True)
        uids, gids = _swapped(from_uid, to_uid, _EVERYBODY), _swapped(from_gid, to_gid, _EVERYBODY)
        word = "ridmap" if "rbind" in mount.options else "idmap"
        return replace(mount, options=(*mount.options, word), uid_mappings=uids, gid_mappings=gids)


def kept(userns: str, person: tuple[int, int]) -> Kept | None:
    """Who is kept by that option; None when it is another word.

    Args:
        person: who runs the container.
    """
    wanted = keep_id(userns)
    if wanted is None:
        return None
    uid, gid = (outside if inside is None else inside for inside, outside in zip(wanted, person, strict=True))
    return Kept(person, (uid, gid))


def _other(id: int, one: int, other: int) -> int:
    return {one: other, other: one}.get(id, id)


def _stand_in(id: int, count: int) -> int:
    """Who is root inside, as seen from outside: whose number the person has, or the last one when that is none."""
    return min(id, count - 1)


def _with_first(id: int, count: int) -> tuple[IDMapping, ...]:
    """The first of ``count`` has the number ``id``, and who had that is 0; where there is but one, nobody is 0."""
    if count == 1:
        return (IDMapping(id, 0, 1),)
    stand_in = _stand_in(id, count)
    rows = _swapped(0, stand_in, count)
    return rows if id == stand_in else tuple(replace(row, container_id=id) if not row.host_id else row for row in rows)


def _swapped(one: int, other: int, count: int) -> tuple[IDMapping, ...]:
    """Everybody is itself, but these two are each other."""
    low, high = sorted((one, other))
    if low == high:
        return (IDMapping(0, 0, count),)
    rows = (
        IDMapping(0, 0, low), IDMapping(low, high, 1), IDMapping(low + 1, low + 1, high - low - 1),
        IDMapping(high, low, 1), IDMapping(high + 1, high + 1, count - high - 1),
    )  # fmt: skip
    return tuple(row for row in rows if row.size > 0)
