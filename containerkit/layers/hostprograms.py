"""Programs of this machine, and every file they need, found without running any of them.

A program's path is followed link by link, and each link comes along (``/bin`` → ``usr/bin``, ``awk`` →
``/etc/alternatives/awk`` → ``mawk``), so that every name leads where it leads here. An ELF file brings its interpreter
and the libraries it names, and so on; a script brings the program of its ``#!`` line. What programs open by themselves
is in three small tables below: it cannot be read from their files.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import deque
from collections.abc import Iterable

from containerkit.errors import InvalidArgument, NotFound
from containerkit.layers import elf

DEFAULT_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
#: Where distributions with a merged /usr have links; ``#!/bin/sh`` and the loader's name rely on them.
_MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")

#: What glibc opens by itself: name service on versions before 2.34, unwinding when a thread ends.
_BY_LIBC = ("libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1")
#: Data that libraries open: terminal descriptions, certificates.
_BY_LIBRARY = {
    "libtinfo.so.6": ("/lib/terminfo",),
    "libncursesw.so.6": ("/lib/terminfo",),
    "libssl.so.3": ("/etc/ssl/openssl.cnf", "/etc/ssl/certs/ca-certificates.crt"),
    "libgnutls.so.30": ("/etc/ssl/certs/ca-certificates.crt",),
}
#: Data that programs open.
_BY_PROGRAM = {"perl": ("/usr/lib/*/perl-base", "/usr/lib/perl5/core_perl", "/usr/share/perl5/core_perl")}

#: Of Python's library, what a container has no use for: tests, what pip installed, and the parts that draw windows.
_PYTHON_SKIPPED = frozenset(
    ("site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "tkinter", "lib2to3", "ensurepip")
)


class HostFiles:
    """The files of this machine that go along: :attr:`found` has the status of each path, links not followed."""

    def __init__(self) -> None:
        self.found: dict[str, os.stat_result] = {}
        #: Directories of programs that are not on everyone's ``PATH``.
        self.directories: list[str] = []
        self._libraries = elf.Libraries()
        self._examined: set[str] = set()
        self._trees: set[str] = set()
        for path in _MERGED:
            if os.path.islink(path):
                self.add(path)

    def add_program(self, name: str) -> str:
        """Add the program of that name or path; returns its path.

        Raises:
            NotFound: no such program.
            InvalidArgument: not a program's name.
        """
        path = find_program(name)
        directory = os.path.dirname(path)
        if directory not in DEFAULT_PATH and directory not in self.directories:
            self.directories.append(directory)
        real = self.add(path)
        self._add_data_of_program(path, real)
        return path

    def add(self, path: str) -> str:
        """Add the file at the absolute ``path``, what is on the way, and what it needs. Returns where it really is.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        real = self._walk(path)
        if real not in self._examined:
            self._examined.add(real)
            if stat.S_ISREG(self.found[real].st_mode):
                self._examine(real)
        return real

    def _walk(self, path: str) -> str:
        parts, here, links = deque(path.split("/")), "", 0
        while parts:
            part = parts.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            found = self._stat(f"{here}/{part}")
            if not stat.S_ISLNK(found.st_mode):
                here = f"{here}/{part}"
                continue
            links += 1
            if links > 40:  # as many as the kernel follows
                raise OSError(40, "too many levels of symbolic links", path)
            target = os.readlink(f"{here}/{part}")
            parts.extendleft(reversed(target.split("/")))
            here = "" if target.startswith("/") else here
        return here or "/"

    def _stat(self, path: str) -> os.stat_result:
        found = self.found.get(path)
        if found is None:
            found = self.found[path] = os.lstat(path)
        return found

    def _examine(self, path: str) -> None:
        with open(path, "rb") as file:
            head = file.read(256)
        if head.startswith(b"\x7fELF"):
            self._add_libraries(path, ())
        elif head.startswith(b"#!") and self.found[path].st_mode & 0o111:
            self._add_interpreter(os.fsdecode(head[2:].partition(b"\n")[0]))

    def _add_interpreter(self, line: str) -> None:
        """What a ``#!`` line names, and the program behind ``env``."""
        words = line.split()
        if not words or not words[0].startswith("/") or not os.path.exists(words[0]):
            return
        self._add_data_of_program(words[0], self.add(words[0]))
        if os.path.basename(words[0]) == "env":
            program = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
            if program:
                self.add_program(program)

    def _add_libraries(self, path: str, inherited: tuple[str, ...]) -> None:
        binary = elf.read(path)
        if binary is None:
            return
        if binary.interpreter and os.path.exists(binary.interpreter):
            self.add(binary.interpreter)
        here = () if binary.runpath else tuple(elf.expand(part, path) for part in binary.rpath)
        for name in binary.needed:
            self._add_library(name, binary, path, here + inherited)
        if "libc.so.6" in binary.needed:
            for name in _BY_LIBC:
                self._add_library(name, binary, path, ())

    def _add_library(self, name: str, binary: elf.Elf, path: str, inherited: tuple[str, ...]) -> None:
        # A library that is not here is not there either: whether the program gets by without it is its own affair.
        where = self._libraries.find(name, binary, path, inherited)
        if where is None:
            return
        real = self._walk(where)
        if real in self._examined:
            return
        self._examined.add(real)
        # The image's loader looks in its built-in directories by itself; for others it needs the cache.
        if os.path.dirname(where) not in elf.default_directories() and self._libraries.is_listed(where):
            self._walk("/etc/ld.so.cache")
        self._add_libraries(real, inherited)
        for data in _BY_LIBRARY.get(name, ()):
            self.add_tree(data)

    def _add_data_of_program(self, path: str, real: str) -> None:
        name = os.path.basename(real)
        for pattern in _BY_PROGRAM.get(re.sub(r"[\d.]*$", "", name), ()):
            for directory in sorted(glob.glob(pattern)):
                self.add_tree(directory)
        version = re.fullmatch(r"python(3\.\d+)", name)
        if version is not None:
            self._add_python(path, real, version[1])

    def _add_python(self, path: str, real: str, version: str) -> None:
        """The standard library that belongs to this interpreter, and what makes a virtual environment one."""
        prefix = os.path.dirname(os.path.dirname(real))
        for library in ("lib", "lib64"):
            if os.path.exists(f"{prefix}/{library}/python{version}/os.py"):
                self.add_tree(f"{prefix}/{library}/python{version}", _PYTHON_SKIPPED)
        marker = f"{os.path.dirname(os.path.dirname(path))}/pyvenv.cfg"
        if os.path.exists(marker):
            self.add(marker)

    def add_tree(self, path: str, skipped: frozenset[str] = frozenset()) -> None:
        """Add a file or directory with everything in it but the names in ``skipped``. Nothing where it is absent."""
        if not os.path.exists(path):
            return
        real = self.add(path)
        if not stat.S_ISDIR(self.found[real].st_mode) or real in self._trees:
            return
        self._trees.add(real)
        for name in sorted(os.listdir(real)):
            # Archives to link with, and byte code for the -O options.
            if name not in skipped and not name.startswith("config-") and not name.endswith((".a", "-1.pyc", "-2.pyc")):
                self.add_tree(f"{real}/{name}", skipped)


def find_program(name: str) -> str:
    """The absolute path of a program, found as a shell finds it.

    Raises:
        NotFound: not on ``PATH``, or no such file.
        InvalidArgument: empty.
    """
    if not name or "\0" in name:
        raise InvalidArgument(f"from_host: {name!r} is not the name of a program")
    if "/" in name:
        path = os.path.abspath(name)
        if not _is_program(path):
            raise NotFound(f"from_host: program {name}: no such executable file")
        return path
    for directory in _search_path():
        if _is_program(f"{directory}/{name}"):
            return f"{directory}/{name}"
    raise NotFound(f"from_host: program {name}: not found in PATH")


def _search_path() -> Iterable[str]:
    for directory in (*os.environ.get("PATH", "").split(":"), *DEFAULT_PATH):
        # Version managers (pyenv, rbenv, asdf) put scripts there that look for the program in their own tree.
        if directory.startswith("/") and os.path.basename(directory.rstrip("/")) != "shims":
            yield directory.rstrip("/")


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
