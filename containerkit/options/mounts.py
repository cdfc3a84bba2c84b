"""The grammar of mounts: which files that are not the image's a container sees, and where.

Sources: docker-run(1), ``--volume``, ``--mount``, ``--volumes-from``; podman-run(1) for ``U``, ``O`` and ``exec``.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from containerkit.errors import InvalidArgument
from containerkit.options.values import size as read_size

TYPES = ("bind", "volume", "tmpfs", "image")
PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
#: Flags that a mount may have in short form, each with its opposite.
FLAGS = ("suid", "nosuid", "dev", "nodev", "exec", "noexec")
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
#: Of docker's short form: of SELinux and of other systems, without a meaning here.
_IGNORED = frozenset({"z", "Z", "consistent", "cached", "delegated", "copy", "rbind"})
_LONG = {
    "src": "source", "dst": "target", "destination": "target", "readonly": "read_only", "ro": "read_only",
    "bind-propagation": "propagation", "volume-nocopy": "nocopy", "volume-subpath": "subpath",
    "image-subpath": "subpath", "tmpfs-size": "size", "tmpfs-mode": "mode", "U": "chown",
}  # fmt: skip


class Mount(NamedTuple):
    """Files that a container sees at ``target``: ``Mount("/data", "site")``.

    >>> ck.call("busybox", "ls /data", mounts=[ck.Mount("/data", "site", read_only=True)]).exit_code
    0

    Args:
        target: where, an absolute path in the container.
        source: of ``volume`` its name (empty for an anonymous one), of ``bind`` a path of this machine, of ``image`` a
            reference.
        type: ``"volume"``, ``"bind"``, ``"tmpfs"`` (in memory, gone with the container) or ``"image"`` (another
            image's files, read-only).
        read_only: the container cannot write there.
        subpath: of volumes and images: only what is below that path, which is resolved inside them.
        propagation: of binds: ``"rprivate"``, ``"rshared"``, ``"rslave"`` … whether later mounts travel.
        nocopy: an empty volume stays empty: it does not take the image's files.
        chown: everything in it is given to the container's user first.
        size: of tmpfs, bytes or ``"64m"``; None for half of the memory.
        mode: of tmpfs, as 0o1777.
        options: more of ``"noexec"``, ``"nosuid"``, ``"nodev"`` and their opposites.
        create: of binds: a directory that is not there is made.
        copy_on_write: of binds: the container may write, and sees what it has written, but nothing of that reaches the
            directory. It is kept in memory, as the container's, and gone when it ends.
    """

    target: str
    source: str = ""
    type: str = "volume"
    read_only: bool = False
    subpath: str = ""
    propagation: str = ""
    nocopy: bool = False
    chown: bool = False
    size: int | str | None = None
    mode: int | None = None
    options: tuple[str, ...] = ()
    create: bool = False
    copy_on_write: bool = False

    def __repr__(self) -> str:
        told = zip(self._fields, self, (None, *self._field_defaults.values()), strict=True)
        return f"Mount({', '.join(f'{name}={value!r}' for name, value, default in told if value != default)})"

    @property
    def is_anonymous(self) -> bool:
        """Whether it is a volume that nobody has named."""
        return self.type == "volume" and not self.source


def volume_name(name: str) -> str:
    """``name``, when it can be a volume's.

    Raises:
        InvalidArgument: it cannot.
    """
    if not isinstance(name, str) or not _VOLUME.fullmatch(name):
        raise InvalidArgument(
            f"volume {name!r}: a name has letters, digits, _ . and -, and begins with one of the first"
        )
    return name


def volumes(value: Any, option: str = "volumes") -> tuple[Mount, ...]:
    """What ``docker run --volume`` takes: ``"/data"``, ``"site:/data"``, ``"/host:/data:ro"``; a :class:`Mount`.

    Args:
        value: one or a list of these; or a mapping from the source: ``{"site": "/data", "/host": "/data:ro"}``.

    Raises:
        InvalidArgument: a path that is not absolute, an option that there is not, one target twice.
    """
    found = [item if isinstance(item, Mount) else _short(item, option) for item in _items(value, option)]
    return _all_checked(found, option)


def mounts(value: Any, option: str = "mounts") -> tuple[Mount, ...]:
    """What ``docker run --mount`` takes: ``"type=bind,source=/a,target=/b,readonly"``; a mapping; a :class:`Mount`.

    Raises:
        InvalidArgument: as for :func:`volumes`; a member that there is not.
    """
    items = [value] if isinstance(value, (str, Mount, Mapping)) else value
    if not isinstance(items, Sequence):
        raise InvalidArgument(f"{option} {value!r}: expected a list of Mount")
    return _all_checked([item if isinstance(item, Mount) else _long(item, option) for item in items], option)


def volumes_from(value: Any, option: str = "volumes_from") -> tuple[tuple[str, str], ...]:
    """(container, ``"ro"``, ``"rw"`` or ``""``) of ``"name"`` and ``"name:ro"``, one or a list.

    Raises:
        InvalidArgument: another word after the colon.
    """
    found = []
    for item in [value] if isinstance(value, str) or not isinstance(value, Sequence) else value:
        name, _, mode = str(getattr(item, "id", item)).partition(":")
        if not name or mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidArgument(f'{option} {item!r}: expected a container\'s name, with ":ro" where wanted')
        found.append((name, mode.strip("zZ")))
    return tuple(found)


def _items(value: Any, option: str) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for source, target in value.items():
            if isinstance(target, Mapping):  # as the docker package has it
                target = ":".join(filter(None, (str(target.get("bind", "")), str(target.get("mode", "")))))
            yield f"{_source(source)}:{target}"
    elif isinstance(value, Sequence) and not isinstance(value, (str, Mount)):
        yield from value
    else:
        yield value


def _source(source: Any) -> str:
    name = getattr(source, "name", "")
    return str(source) if isinstance(source, (str, PurePath)) or not name else str(name)


def _short(item: Any, option: str) -> Mount:
    if isinstance(item, tuple) and len(item) in (2, 3):
        item = ":".join([_source(item[0]), *map(str, item[1:])])
    if not isinstance(item, str):
        raise InvalidArgument(f'{option} {item!r}: expected "source:/target", "/target" or a Mount')
    parts = item.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidArgument(f'{option} {item!r}: write "source:/target:options", "source:/target" or "/target"')
    if len(parts) == 1:
        return Mount(parts[0])
    source, target, *rest = parts
    words = rest[0].split(",") if rest else []
    if source[0] in "/.~":
        found = Mount(target, os.path.abspath(os.path.expanduser(source)), "bind", create=True)
    else:
        found = Mount(target, source)
    for word in words:
        found = _with_word(found, word, f"{option} {item!r}")
    return found


def _with_word(mount: Mount, word: str, subject: str) -> Mount:
    if word in ("ro", "rw"):
        return mount._replace(read_only=word == "ro")
    if word in PROPAGATIONS:
        return mount._replace(propagation=word)
    if word in FLAGS:
        return mount._replace(options=(*mount.options, word))
    if word == "nocopy":
        return mount._replace(nocopy=True)
    if word == "U":
        return mount._replace(chown=True)
    if word == "O":
        return mount._replace(copy_on_write=True)
    if word in _IGNORED:
        return mount
    known = ("ro", "rw", "nocopy", "U", "O", *PROPAGATIONS, *FLAGS)
    raise InvalidArgument(f"{subject}: unknown option {word!r} ({', '.join(known)})")


def _long(item: Any, option: str) -> Mount:
    if isinstance(item, str):
        pairs = [part.partition("=") for part in item.split(",") if part]
        item = {name: value if equals else True for name, equals, value in pairs}
    if not isinstance(item, Mapping):
        raise InvalidArgument(f"{option} {item!r}: expected a Mount")
    values = {_LONG.get(str(name), str(name)): value for name, value in item.items()}
    for name, value in values.items():
        if name not in Mount._fields:
            raise InvalidArgument(f"{option}: unknown member {name!r} of a mount (one of {', '.join(Mount._fields)})")
        if name in ("read_only", "nocopy", "chown", "create", "copy_on_write") and isinstance(value, str):
            values[name] = value.lower() in ("true", "1")
        elif name == "mode" and isinstance(value, str):
            values[name] = _octal(value, option)
        elif name == "source":
            values[name] = _source(value)
    if "target" not in values:
        raise InvalidArgument(f"{option} {item!r}: a mount needs a target")
    return Mount(**values)


def _octal(text: str, option: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise InvalidArgument(f"{option}: mode {text!r}: expected an octal number") from None


def _all_checked(found: Sequence[Mount], option: str) -> tuple[Mount, ...]:
    checked = tuple(_checked(mount, option) for mount in found)
    refuse_twice([mount.target for mount in checked], option)
    return checked


def refuse_twice(targets: Sequence[str], option: str) -> None:
    """Raise InvalidArgument when two mounts have one target."""
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"{option} {target}: two mounts at one place")


def _checked(mount: Mount, option: str) -> Mount:
    subject = f"{option} {mount.target!r}"
    if mount.type not in TYPES:
        raise InvalidArgument(f"{subject}: type {mount.type!r}: expected one of {', '.join(TYPES)}")
    mount = mount._replace(
        target=_target(mount.target, subject), source=_source(mount.source), options=tuple(mount.options)
    )
    if mount.type == "volume" and mount.source:
        volume_name(mount.source)
    elif mount.type == "bind":
        mount = mount._replace(source=_bind_source(mount.source, subject))
    elif mount.type == "image" and not mount.source:
        raise InvalidArgument(f"{subject}: an image mount needs a source, a reference")
    _refuse_foreign(mount, subject)
    if mount.size is not None:
        mount = mount._replace(size=read_size(mount.size, f"{subject}: size"))
    return mount


def _target(path: str, subject: str) -> str:
    path = os.fspath(path)
    if not path.startswith("/") or "\0" in path:
        raise InvalidArgument(f"{subject}: the target must be an absolute path in the container")
    path = posixpath.normpath("/" + path.lstrip("/"))
    if path == "/" or path == "/proc" or path.startswith("/proc/"):
        raise InvalidArgument(f"{subject}: nothing can be mounted at {path}")
    return path


def _bind_source(source: str, subject: str) -> str:
    if not source or "\0" in source:
        raise InvalidArgument(f"{subject}: a bind mount needs a source, a path of this machine")
    return os.path.abspath(os.path.expanduser(source))


def _refuse_foreign(mount: Mount, subject: str) -> None:
    """What means something for other types only."""
    kinds = {
        "subpath": ("volume", "image"), "propagation": ("bind",), "nocopy": ("volume",), "create": ("bind",),
        "chown": ("bind", "volume"), "size": ("tmpfs",), "mode": ("tmpfs",), "copy_on_write": ("bind",),
    }  # fmt: skip
    for name, types in kinds.items():
        if getattr(mount, name) not in ("", False, None) and mount.type not in types:
            raise InvalidArgument(f"{subject}: {name} is for {' and '.join(types)} mounts, not for {mount.type}")
    if mount.copy_on_write and (mount.read_only or mount.chown or mount.propagation):
        raise InvalidArgument(f"{subject}: copy_on_write: cannot be combined with read_only, chown or propagation")
    if mount.propagation and mount.propagation not in PROPAGATIONS:
        raise InvalidArgument(f"{subject}: propagation {mount.propagation!r}: one of {', '.join(PROPAGATIONS)}")
    if wrong := [option for option in mount.options if option not in FLAGS]:
        raise InvalidArgument(f"{subject}: option {wrong[0]!r}: one of {', '.join(FLAGS)}")
    if ".." in mount.subpath.split("/") or mount.subpath.startswith("/") or "\0" in mount.subpath:
        raise InvalidArgument(f"{subject}: subpath {mount.subpath!r}: expected a path below the volume")
