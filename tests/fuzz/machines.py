"""What a machine, a kernel and the files of a container's root say."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

from hypothesis import strategies as st

from containerkit.configuration import Configuration
from containerkit.configuration import _read as read_configuration
from containerkit.layers import aptsources, elf
from containerkit.linux import confinement, procfs
from containerkit.linux.cgroups import Cgroup, Hierarchies, StatsReader, hierarchies, pressure
from containerkit.linux.files import kernel_lines
from containerkit.measuring.stats import network_counters
from containerkit.oci import users
from containerkit.runtime import affinity
from tests.fuzz.case import parser
from tests.fuzz.edits import spoiled, text

_PASSWD = "root:x:0:0:root:/root:/bin/sh\na:x:1000:1000::/home/a:/bin/sh\nb:x:٣:5\nc:x:99999999999:5::/c:\n"
_GROUP = "root:x:0:\nwheel:x:10:a,root\nbig:x:99999999999:a\n"


@parser("users", st.tuples(text("a:wheel", "0", "1000:10", "a"), text(_PASSWD), text(_GROUP)))
def _users(case: tuple[str, str, str]) -> None:
    user, passwd, group = case
    found = users.resolve(user, passwd, group, ("wheel",))
    for number in (found.uid, found.gid, *found.groups):
        assert 0 <= number < 2**32 - 1


def _file(data: bytes, name: str = "file") -> tuple[tempfile.TemporaryDirectory[str], str]:
    place = tempfile.TemporaryDirectory()
    path = Path(place.name, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return place, str(path)


@parser("subuid", spoiled(b"root:100000:65536\na:1:2\n1000:5:6\n"))
def _subuid(data: bytes) -> None:
    place, path = _file(data)
    with place:
        for first, count in confinement.ranges(path, ("root", "1000")):
            assert 0 <= first < 2**32 and 0 < count < 2**32


#: What the kernel takes for a name of a mount, a process or a link: any bytes, but for these.
_BYTES = st.binary(min_size=1, max_size=12).map(lambda data: data.replace(b"\0", b"a"))
_STRANGE = _BYTES | st.sampled_from(
    [b"\r", b"a\x0cb", b"\xff", "\x85".encode(), "\u2028".encode(), b" - ", b"\rNSpid:\t7", b"a:b", b"\x1c1"]
)


def _escaped(name: bytes, which: bytes) -> bytes:
    """As the kernel writes it (seq_file's mangle_path, and the names of processes)."""
    return b"".join(b"\\%03o" % byte if byte in which else bytes((byte,)) for byte in name)


@parser("mountinfo", st.lists(st.tuples(_STRANGE, _STRANGE), max_size=5))
def _mountinfo(case: list[tuple[bytes, bytes]]) -> None:
    rows = [(b"/" + target, source) for target, source in case]
    said = b"".join(
        b"22 1 8:1 / %b rw,relatime shared:1 - %b %b rw,memory\n"
        % (_escaped(target, b" \t\n\\"), kind, _escaped(source, b" \t\n\\"))
        for kind in (b"ext4", b"cgroup")
        for target, source in rows
    )
    place, path = _file(said, "mountinfo")
    with place:
        found = procfs.mounts(os.path.relpath(place.name, "/proc"))
        hierarchy = hierarchies.parse(kernel_lines(path))
    names = [(os.fsdecode(target), os.fsdecode(source)) for target, source in rows]
    assert [(one.target, one.source) for one in found] == names * 2
    assert hierarchy.v1_root("memory") == (names[0][0] if names else None)


@parser("status", st.tuples(_STRANGE, st.integers(1, 2**22)))
def _status(case: tuple[bytes, int]) -> None:
    name, number = case
    said = b"Name:\t%b\nUid:\t0\t0\t0\t0\nNSpid:\t9\t%d\n" % (_escaped(name, b"\n\\"), number)
    place, _ = _file(said, "status")
    with place:
        found = procfs.status(os.path.relpath(place.name, "/proc"))
    assert set(found) == {"Name", "Uid", "NSpid"} and found["NSpid"].split() == ["9", str(number)]


_LINKS = _STRANGE.filter(lambda name: not set(name) & {*b" \t\n\x0b\x0c\r/:", 0xA0})


@parser("net/dev", st.lists(_LINKS, max_size=4, unique=True))
def _links(case: list[bytes]) -> None:
    counters = b" ".join(b"%d" % number for number in range(16))
    said = b"Inter-|\n face |\n" + b"".join(b"%6b: %b\n" % (name, counters) for name in [b"lo", *case])
    place, _ = _file(said, "net/dev")
    with place:
        pid = os.path.relpath(place.name, "/proc")
        assert procfs.links(pid) == ["lo", *map(os.fsdecode, case)]
        assert set(network_counters(pid)) == {os.fsdecode(name) for name in case} - {"lo"}  # type: ignore[arg-type]  # for a path


_V2 = {
    "cpu.stat": b"usage_usec 5\nuser_usec 1\nsystem_usec 4\nnr_periods 1\nnr_throttled 2\nthrottled_usec 5\n",
    "cpu.max": b"max 100000\n",
    "memory.current": b"4096\n",
    "memory.max": b"max\n",
    "memory.stat": b"anon 5\nfile 6\ninactive_file 7\n",
    "memory.events": b"oom_kill 3\n",
    "pids.current": b"5\n",
    "pids.max": b"max\n",
    "io.stat": b"8:0 rbytes=5 wbytes=6 rios=7 wios=8\n",
}


@parser("cgroup", st.tuples(*map(spoiled, _V2.values())), subject="cgroup /x")
def _cgroup(case: tuple[bytes, ...]) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place, "x").mkdir()
        for name, data in zip(_V2, case, strict=True):
            Path(place, "x", name).write_bytes(data)
        found = Hierarchies((), place, frozenset(("cpu", "memory", "pids", "io")))
        with StatsReader(Cgroup("/x", found)) as reader:
            try:
                reader.stats()
            finally:
                reader.sample()


@parser(
    "pressure",
    spoiled(b"some avg10=0.00 avg60=1.50 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
)
def _pressure(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place, "cpu.pressure").write_bytes(data)
        pressure.read(place)


@parser("affinity", text("0-2,7", "1", "0-5000"))
def _affinity(data: str) -> None:
    affinity.parse(data)


_LIST = b"deb [arch=amd64 signed-by=/x] https://deb.example/debian bookworm main # x\ndeb-src x y z\ndeb http://a b/\n"
_STANZA = b"""Types: deb deb-src
URIs: https://a
 https://b
Suites: bookworm bookworm-updates
Components: main
Enabled: yes

# c
Types: deb
URIs: x
Suites: y/
"""


@parser("apt", st.tuples(spoiled(_LIST), spoiled(_STANZA)), known=((b"deb a" + b" " * 120_000 + b"[", b""),))
def _apt(case: tuple[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        etc = Path(place)
        (etc / "sources.list.d").mkdir()
        (etc / "sources.list").write_bytes(case[0])
        (etc / "sources.list.d" / "a.list").write_bytes(case[0][::-1])
        (etc / "sources.list.d" / "b.sources").write_bytes(case[1])
        found = aptsources.of_machine(etc)
        "".join(map(str, found))
        aptsources.of_suite("trixie", found)


def _elf(order: str = "<", wide: bool = True) -> bytes:
    """A program with an interpreter, one library and a search path."""
    strings = b"\0libc.so.6\0$ORIGIN/x:/y\0"
    interpreter = b"/lib64/ld.so\0"
    headers, dynamic_at = 3, 64 + 3 * 56
    rows = ((1, 1), (5, 0x1000), (29, 11), (0, 0))
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *row) for row in rows)
    strings_at = dynamic_at + len(dynamic)
    segments = (
        (1, strings_at, 0x1000, len(strings)),
        (2, dynamic_at, 0, len(dynamic)),
        (3, strings_at + len(strings), 0, len(interpreter)),
    )
    head = (
        b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2)) + bytes(10) + struct.pack(order + "HH", 2, 62)
    )
    if wide:
        head = head.ljust(32, b"\0") + struct.pack(order + "Q", 64)
        head = head.ljust(54, b"\0") + struct.pack(order + "HH", 56, headers)
        table = b"".join(
            struct.pack(order + "IIQQQQ", kind, 0, at, address, address, size).ljust(56, b"\0")
            for kind, at, address, size in segments
        )
    else:
        head = head.ljust(28, b"\0") + struct.pack(order + "I", 64)
        head = head.ljust(42, b"\0") + struct.pack(order + "HH", 56, headers)
        table = b"".join(
            struct.pack(order + "IIIII", kind, at, address, address, size).ljust(56, b"\0")
            for kind, at, address, size in segments
        )
    return head.ljust(64, b"\0") + table + dynamic + strings + interpreter


_WIDE = _elf()
_NUMBERS = st.sampled_from([0, 1, 56, 255, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1])


def _with_number(data: bytes, at: int, number: int) -> bytes:
    at = at % (len(data) - 8) // 4 * 4
    return data[:at] + struct.pack("<Q", number) + data[at + 8 :]


@parser(
    "elf",
    spoiled(
        _WIDE,
        _elf(">"),
        _elf(wide=False),
        _elf(">", wide=False),
        st.builds(_with_number, st.just(_WIDE), st.integers(0, 400), _NUMBERS),
    ),
    examples=150,
)
def _program(data: bytes) -> None:
    place, path = _file(data)
    with place:
        found = elf.read(path)
        if found is not None:
            elf.Libraries().find("libc.so.6", found, path)


def _cache(entries: list[tuple[int, int, int]]) -> bytes:
    strings = b"libc.so.6\0/lib/libc.so.6\0"
    start = 48 + 24 * len(entries)
    rows = b"".join(
        struct.pack("=iIIIQ", 0, key % 40 + start, value % 40 + start, 0, more) for key, value, more in entries
    )
    return b"glibc-ld.so.cache1.1" + struct.pack("=II", len(entries), len(strings)) + bytes(20) + rows + strings


_ENTRY = st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0, 0, 1]))


@parser("ld.so.cache", spoiled(st.builds(_cache, st.lists(_ENTRY, max_size=5))))
def _loader(data: bytes) -> None:
    place, path = _file(data)
    with place:
        dict(elf._cache_entries(path))


_TOML = """root = "/x"
platform = "linux/amd64"
bridge_mtu = "1400"
build_cache_size = "20g"
build_cache_age = "720h"
[log]
max_size = "10m"
max_file = 3
[registries]
insecure = ["a:5", "10.0.0.0/8"]
[registries.mirrors]
"docker.io" = ["https://mirror"]
"""


@parser("config.toml", text(_TOML), subject="configuration")
def _configuration(data: str) -> None:
    place, path = _file(os.fsencode(data))
    with place:
        Configuration().updated(read_configuration(path), "configuration x")
