"""What the caller of a build says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from containerkit.errors import InvalidArgument, NotFound, from_os_error
from containerkit.oci.manifest import Platform
from containerkit.values import frozen

Secret = bytes | str | os.PathLike[str]


@frozen
class Wishes:
    """All but the files.

    Args:
        name: what the build is known by from one time to the next: where its files are.
        tags: what the image is called.
        build_args: values for ARG.
        target: the stage that becomes the image; empty: the last one.
        labels: more of them, of the finished image.
        no_cache: carry out every step.
        pull: ask the registries for base images that are here.
        platform: of the base images; None: this machine's.
        images: ids of local images by the names that stand for them, whatever else is called so.
        secrets: by id: bytes, or the path of a file.
        options: of the containers of RUN: limits, network, hosts, as for ``ck.run``.
        cache_from: images of registries, or of here, whose builders have said in them which steps their layers are.
        inline_cache: say so in this one.
        deadline: when it is given up, by the monotonic clock.
    """

    name: str
    tags: tuple[str, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    pull: bool = False
    platform: Platform | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    cache_from: tuple[str, ...] = ()
    inline_cache: bool = False
    deadline: float | None = None

    @property
    def epoch(self) -> int | None:
        """Epoch seconds that no time in the image is after (SOURCE_DATE_EPOCH); None: as they are.

        Raises:
            InvalidArgument: no number.
        """
        said = self.build_args.get("SOURCE_DATE_EPOCH")
        if not said:
            return None
        try:
            return int(said)
        except ValueError:
            raise InvalidArgument(f"SOURCE_DATE_EPOCH {said!r}: expected seconds since 1970") from None

    def secret(self, id: str) -> bytes | None:
        """The secret of that id; None when it was not given.

        Raises:
            NotFound: the file is not there.
        """
        if id not in self.secrets:
            return None
        said = self.secrets[id]
        if isinstance(said, bytes):
            return said
        try:
            with open(said, "rb") as file:
                return file.read()
        except FileNotFoundError as error:
            raise NotFound(f"secret {id}: {os.fspath(said)} is not there (bytes are taken as they are)") from error
        except OSError as error:
            raise from_os_error(error, f"secret {id}") from error
