"""Where a backup is: a file, one of a directory of backups, a URL, an open file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from containerkit.backup import archive
from containerkit.backup.destinations import filesystem, name_of, path_of
from containerkit.backup.directory import Directory, is_directory
from containerkit.backup.manifest import Manifest
from containerkit.backup.opened import Opened
from containerkit.backup.sources import Source
from containerkit.errors import InvalidArgument, NotFound, from_os_error
from containerkit.values import frozen


@frozen
class Place:
    """Where a backup is.

    Args:
        source: a path, a URL or an open file.
        passphrase: of an encrypted one.
        volume, id: of one of a directory of backups, whose path ``source`` is then.
    """

    source: Source
    passphrase: str | None = None
    volume: str = ""
    id: str = ""

    @classmethod
    def find(cls, source: Source, passphrase: str | None) -> Place:
        """That of a file, or of one of a directory: ``DIRECTORY/ID``; of a directory alone the last one.

        Raises:
            NotFound: there is none of that id in the directory.
        """
        path = path_of(source)
        if path is None:
            return cls(source, passphrase)
        directory, id = (path, "latest") if is_directory(path) else os.path.split(path.rstrip("/"))
        if os.path.isfile(path) or not is_directory(directory):
            return cls(os.path.abspath(path), passphrase)
        with Directory(directory, passphrase=passphrase) as backups:
            one = backups.find(id)
        return cls(os.path.abspath(directory), passphrase, one.volume, one.id)

    @property
    def name(self) -> str:
        """In words."""
        return f"{name_of(self.source)}/{self.id}" if self.id else name_of(self.source)

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """The backup, to be read."""
        if self.id:
            with Directory(name_of(self.source), passphrase=self.passphrase) as directory:
                yield directory.reading(directory.find(self.id, self.volume))
        else:
            with archive.open(self.source, passphrase=self.passphrase) as backup:
                yield backup

    def manifest(self) -> Manifest:
        """What the backup says of itself."""
        with self.opened() as backup:
            return backup.manifest

    def file_size(self) -> int:
        """Bytes of the file."""
        path = path_of(self.source)
        if path is not None:
            return os.stat(path).st_size
        with archive.open(self.source, passphrase=self.passphrase) as backup:
            return backup.size

    def remove(self) -> None:
        """Delete the backup.

        Raises:
            NotFound: it is not there any more.
            InvalidArgument: it is an open file.
        """
        path = path_of(self.source)
        try:
            if self.id:
                with Directory(name_of(self.source), passphrase=self.passphrase) as backups:
                    backups.remove(backups.find(self.id, self.volume))
            elif path is not None:
                os.unlink(path)
            elif isinstance(self.source, (str, os.PathLike)):
                files, inner = filesystem(os.fspath(self.source))
                files.rm(inner)
            else:
                raise InvalidArgument(f"backup {self.name}: an open file cannot be removed")
        except FileNotFoundError as error:
            raise NotFound(f"backup {self.name}: not found") from error
        except OSError as error:
            raise from_os_error(error, f"backup {self.name}") from error
