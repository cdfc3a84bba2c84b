"""What an ELF file names: its interpreter and its libraries; and where the loader finds those.

Read, never run: ``ldd`` executes the program. Sources: elf(5); ld.so(8), "Rpath token expansion" and the search order;
glibc elf/dl-cache.h for the format of ``/etc/ld.so.cache``; musl ldso/dynlink.c for its default path.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

from containerkit.values import frozen

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29
#: Of a path, or several in one text.
_LONGEST = 1 << 16


@frozen
class Elf:
    """``kind``: class (1: 32 bit, 2: 64 bit) and machine, which must be equal for two files to be linked."""

    kind: tuple[int, int]
    interpreter: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]


def read(path: str) -> Elf | None:
    """What the file at ``path`` names, or None when it is not an ELF file that can be read.

    Raises:
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return None
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            try:
                return _parse(data)
            except (struct.error, IndexError, ValueError, OverflowError):
                return None


@frozen
class _Segment:
    type: int
    offset: int
    address: int
    size: int


def _parse(data: mmap.mmap) -> Elf:
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    (machine,) = struct.unpack_from(order + "H", data, 18)
    segments = list(_segments(data, order, wide))
    interpreter, dynamic = "", []
    of = {segment.type: segment for segment in reversed(segments)}  # the first of each type
    if _PT_INTERP in of:
        interpreter = _string(data, of[_PT_INTERP].offset)
    if _PT_DYNAMIC in of:
        dynamic = _dynamic(data, order + ("qQ" if wide else "iI"), of[_PT_DYNAMIC])
    strings = next((_file_offset(segments, value) for tag, value in dynamic if tag == _DT_STRTAB), 0)

    def named(wanted: int) -> tuple[str, ...]:
        return tuple(_string(data, strings + value) for tag, value in dynamic if tag == wanted)

    return Elf((data[4], machine), interpreter, named(_DT_NEEDED), _split(named(_DT_RPATH)), _split(named(_DT_RUNPATH)))


def _segments(data: mmap.mmap, order: str, wide: bool) -> Iterator[_Segment]:
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    for index in range(count):
        if wide:
            kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", data, table + index * size)
        else:
            kind, offset, address, _, length = struct.unpack_from(order + "IIIII", data, table + index * size)
        yield _Segment(kind, offset, address, length)


def _dynamic(data: mmap.mmap, form: str, segment: _Segment) -> list[tuple[int, int]]:
    end = segment.offset + segment.size
    size = struct.calcsize(form)
    return [struct.unpack_from(form, data, at) for at in range(segment.offset, end - size + 1, size)]


def _file_offset(segments: list[_Segment], address: int) -> int:
    for segment in segments:
        if segment.type == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise ValueError(address)


def _string(data: mmap.mmap | bytes, at: int) -> str:
    end = data.find(b"\0", at, at + _LONGEST)
    if end < 0:
        raise ValueError("a text without an end")
    return os.fsdecode(data[at:end])


def _split(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for path in paths for part in path.split(":") if part)


class Libraries:
    """Finds shared libraries as the loader of this machine does, without its environment variables."""

    def __init__(self) -> None:
        self._cache = dict(_cache_entries())

    def find(self, name: str, wanted_by: Elf, path: str, inherited: tuple[str, ...] = ()) -> str | None:
        """The path of the library ``name`` that the file ``wanted_by`` at ``path`` asks for, or None.

        Args:
            inherited: the RPATH of the program, which its libraries search too (RUNPATH is not handed on).
        """
        if "/" in name:
            return name if os.path.exists(name) else None
        rpath = wanted_by.rpath + inherited if not wanted_by.runpath else ()
        searched = [expand(directory, path) for directory in (*rpath, *wanted_by.runpath)]
        candidates = [f"{directory}/{name}" for directory in searched]
        candidates += self._cache.get(name, [])
        candidates += [f"{directory}/{name}" for directory in (*default_directories(), "/usr/local/lib")]
        return next((candidate for candidate in candidates if _fits(candidate, wanted_by)), None)

    def is_listed(self, path: str) -> bool:
        """Whether the loader finds ``path`` because its cache says so."""
        return path in self._cache.get(os.path.basename(path), ())


def expand(directory: str, path: str) -> str:
    """``$ORIGIN`` and ``$LIB`` in a search path of the file at ``path``."""
    origin = os.path.dirname(os.path.realpath(path))
    for token in ("$ORIGIN", "${ORIGIN}"):
        directory = directory.replace(token, origin)
    return directory.replace("$LIB", "lib64").replace("${LIB}", "lib64")


def default_directories() -> tuple[str, ...]:
    """Where a loader looks without being told: the plain directories, and Debian's one per architecture."""
    triplet = f"{os.uname().machine}-linux-gnu"
    return (f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib64", "/usr/lib64", "/lib", "/usr/lib")


def _fits(path: str, wanted_by: Elf) -> bool:
    try:
        found = read(path)
    except (OSError, ValueError):
        return False
    return found is not None and found.kind == wanted_by.kind


def _cache_entries(path: str = "/etc/ld.so.cache") -> Iterator[tuple[str, list[str]]]:
    """(name, paths) for each library in the loader's cache; none where there is no cache."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return
    start = data.find(b"glibc-ld.so.cache1.1")
    if start < 0:
        return
    found: dict[str, list[str]] = {}
    try:
        (count,) = struct.unpack_from("=I", data, start + 20)
        for index in range(count):
            _, key, value, _, capabilities = struct.unpack_from("=iIIIQ", data, start + 48 + 24 * index)
            # Variants for newer processors are left: the image may run on another machine.
            if capabilities == 0:
                name, where = (_string(data, start + at) for at in (key, value))
                found.setdefault(name, []).append(where)
    except (struct.error, ValueError):
        pass  # it is damaged from there on
    yield from found.items()
