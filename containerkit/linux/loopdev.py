"""Loop devices: a file as a block device (loop(4)).

Source: include/uapi/linux/loop.h.
"""

from __future__ import annotations

import fcntl
import glob
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EBUSY, EINVAL, ENOTTY

_CTL_GET_FREE, _CONFIGURE, _SET_FD, _SET_STATUS64, _GET_STATUS64 = 0x4C82, 0x4C0A, 0x4C00, 0x4C04, 0x4C05
_READ_ONLY, _AUTOCLEAR = 1, 4
#: device, inode, rdevice, offset, size limit; number, encryption's type and key's size, flags; name and the rest.
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_ATTEMPTS = 50


@contextmanager
def attached(path: str, *, read_only: bool = False) -> Iterator[str]:
    """The path of a block device with a file's content. When nobody has it open or mounted any more, it is free again.

    A file that has such a device already keeps it: two would be two disks to the kernel, and each would write over what
    the other has written.

    Raises:
        OSError: there are no loop devices here, or no rights to them.
    """
    mode = os.O_RDONLY if read_only else os.O_RDWR
    file = os.open(path, mode | os.O_CLOEXEC)
    try:
        device, name = _existing(file, mode) or _configured(file, mode, path)
    finally:
        os.close(file)
    try:
        yield name
    finally:
        os.close(device)


def _existing(file: int, mode: int) -> tuple[int, str] | None:
    """The device that a file has already, open: as long as it is, it stays."""
    wanted = os.fstat(file)
    for place in glob.glob("/sys/block/loop*/loop"):
        name = f"/dev/{os.path.basename(os.path.dirname(place))}"
        try:
            device = os.open(name, mode | os.O_CLOEXEC)
        except OSError:
            continue  # gone meanwhile
        try:
            info = _INFO.unpack(fcntl.ioctl(device, _GET_STATUS64, bytes(_INFO.size)))
            if info[:2] == (wanted.st_dev, wanted.st_ino):
                return device, name
        except OSError:
            pass  # it has no file any more
        os.close(device)
    return None


def _configured(file: int, mode: int, path: str) -> tuple[int, str]:
    flags = _AUTOCLEAR | (_READ_ONLY if mode == os.O_RDONLY else 0)
    info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, os.fsencode(path)[:63], b"", b"", 0, 0)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            name = f"/dev/loop{fcntl.ioctl(control, _CTL_GET_FREE)}"
            device = os.open(name, mode | os.O_CLOEXEC)
            try:
                _configure(device, file, info)
                return device, name
            except OSError as error:
                os.close(device)
                if error.errno != EBUSY:
                    raise
                # Somebody else was quicker.
    finally:
        os.close(control)
    raise OSError(EBUSY, "no loop device is free", path)


def _configure(device: int, file: int, info: bytes) -> None:
    try:
        fcntl.ioctl(device, _CONFIGURE, struct.pack("=II", file, 0) + info + bytes(64))
    except OSError as error:
        # Before Linux 5.8 in two steps.
        if error.errno not in (EINVAL, ENOTTY):
            raise
        fcntl.ioctl(device, _SET_FD, file)
        fcntl.ioctl(device, _SET_STATUS64, info)
