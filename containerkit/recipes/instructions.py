"""What images can be said to become: one method for each instruction of a Dockerfile."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from containerkit.errors import InvalidArgument
from containerkit.options import Healthcheck

if TYPE_CHECKING:
    from containerkit.dockerfile import Instruction
    from containerkit.image import Image
    from containerkit.recipes.chain import Chain
    from containerkit.recipes.recipe import NamedImage, Origin, Recipe

Path = str | os.PathLike[str]


class Fluent:
    """``with_…``: each gives a new image, a :class:`~containerkit.recipes.chain.Chain`, and leaves this one as it is.

    Nothing is built before something of the result is asked for; then steps that were carried out before are taken
    from the build cache, whichever chain or Dockerfile they were of. What is given is meant as it is: no variable is
    replaced, and no quote needs an escape. Only the command lines of ``with_run`` and its like are the shell's.

    >>> app = ck.Image.get("busybox").with_env(GREETING="hello").with_cmd('echo "$GREETING"')
    >>> app.call().stdout
    'hello\\n'
    """

    __slots__ = ()

    @abstractmethod
    def _with(self, instruction: Instruction, origins: Sequence[Origin | None] = ()) -> Chain:
        """One step more; ``origins`` are what its files are from."""

    @abstractmethod
    def _as_origin(self) -> NamedImage | Recipe:
        """As files are copied from it."""

    def with_run(
        self, command: str | Sequence[str], *, mounts: Iterable[str | Mapping[str, Any]] = (),
        network: str | None = None,
    ) -> Chain:  # fmt: skip
        """What a command changes of the files: RUN.

        >>> app = image.with_run("apt-get update && apt-get install -y curl")
        >>> app = image.with_run(["pip", "install", "."], mounts=["type=cache,target=/root/.cache"])

        Args:
            command: text is the shell's, of several lines, too; a sequence is a program and its arguments.
            mounts: what is mounted meanwhile, as ``RUN --mount`` says it, or the same as a mapping, in which ``from``
                can be an image: ``{"type": "bind", "from": image, "source": "/wheels", "target": "/wheels"}``. A
                relative ``source`` without ``from`` is in the current directory.
            network: ``"none"``, ``"host"``; default: as the build says.

        Raises:
            InvalidArgument: a mount that cannot be.
        """
        from containerkit.dockerfile import literal
        from containerkit.recipes import origins

        said = [origins.mount(one) for one in mounts]
        instruction = literal.run(command, [fields for fields, _ in said], network or "default")
        return self._with(instruction, [origin for _, origin in said])

    def with_copy(
        self, source: Path | Sequence[Path] | Mapping[str, bytes | str], destination: Path, *,
        from_: Image | str | None = None, chown: str | int = "", chmod: str | int = "", exclude: Iterable[str] = (),
        parents: bool = False, link: bool = False,
    ) -> Chain:  # fmt: skip
        """With files of this machine, of another image, or of this program: COPY.

        >>> image.with_copy(["setup.py", "src"], "/app/", exclude=["*.pyc"])  # doctest: +SKIP
        >>> app = image.with_copy({"app.ini": "debug = no\\n"}, "/etc/app/", chmod=0o640)
        >>> image.with_copy("/out/tool", "/usr/bin/", from_=builder)  # doctest: +SKIP

        Args:
            source: paths, of which those that are text can have wildcards; relative ones begin at the current
                directory, whose ``.dockerignore`` is heeded. Or names and contents. Of a directory, its content is
                copied.
            destination: a path in the image; with a slash at its end, or of contents, a directory.
            from_: the image that the paths are in; a chain is built for it, one that is named here is pulled.
            chown: ``"user:group"``, or numbers. Default: root, or of another image's files whose they are.
            chmod: ``0o644``, or as chmod(1) takes it.
            exclude: patterns of what is left out, as in ``.dockerignore``.
            parents: the directories that lead to a source are kept.
            link: the layer is the same whatever is below it.

        Raises:
            InvalidArgument: what cannot be meant. That a file is not there, the build says.
        """
        from containerkit.dockerfile import literal
        from containerkit.recipes import origins

        flags: dict[str, Any] = {"chown": chown, "chmod": chmod, "exclude": exclude, "link": link}
        if isinstance(source, Mapping):
            if from_ is not None:
                raise InvalidArgument("with_copy: from_ is for paths, not for contents")
            return self._with(*origins.of_contents(source, os.fspath(destination), flags))
        paths, name, origin = origins.from_(source, from_)
        instruction = literal.copy(paths, os.fspath(destination), from_=name, parents=parents, **flags)
        return self._with(instruction, (origin,))

    def with_add(
        self, source: Path | Sequence[Path], destination: Path, *, checksum: str = "", unpack: bool | None = None,
        chown: str | int = "", chmod: str | int = "", exclude: Iterable[str] = (), link: bool = False,
    ) -> Chain:  # fmt: skip
        """With files of this machine, archives unpacked, or of a URL: ADD.

        >>> image.with_add("rootfs.tar.gz", "/")  # doctest: +SKIP
        >>> image.with_add("https://example.com/tool", "/usr/bin/", checksum="sha256:…")  # doctest: +SKIP

        Args:
            source: as for :meth:`with_copy`, and URLs. All files of one chain's ``with_add`` are in one directory.
            destination: as for :meth:`with_copy`.
            checksum: of the one URL: ``"sha256:…"``.
            unpack: whether archives are unpacked; default: those that are not from a URL.
            chown, chmod, exclude, link: as for :meth:`with_copy`.
        """
        from containerkit.dockerfile import literal
        from containerkit.recipes import origins

        paths, origin = origins.here_or_afar(origins.several(source))
        instruction = literal.add(
            paths, os.fspath(destination), checksum=checksum, unpack=unpack, chown=chown, chmod=chmod,
            exclude=exclude, link=link,
        )  # fmt: skip
        return self._with(instruction, (origin,))

    def with_env(self, values: Mapping[str, object] | None = None, /, **names: object) -> Chain:
        """With variables of the environment: ENV.

        >>> app = image.with_env(LANG="C.UTF-8").with_env({"my.key": "$5"})
        """
        from containerkit.dockerfile import literal

        return self._with(literal.env({**(values or {}), **names}))

    def with_user(self, user: str | int) -> Chain:
        """With the user that its programs are run by, and the steps that follow: USER.

        >>> app = image.with_user("web").with_user("1000:1000")
        """
        from containerkit.dockerfile import literal

        return self._with(literal.user(user))

    def with_workdir(self, path: Path) -> Chain:
        """With a working directory, which is made where it is not there: WORKDIR.

        >>> app = image.with_workdir("/srv/app")

        Args:
            path: absolute, or relative to the one that there is.
        """
        from containerkit.dockerfile import literal

        return self._with(literal.workdir(os.fspath(path)))

    def with_volume(self, *paths: Path) -> Chain:
        """With places that containers have a volume of their own at: VOLUME.

        >>> app = image.with_volume("/var/lib/data", "/var/log")
        """
        from containerkit.dockerfile import literal

        return self._with(literal.volume([os.fspath(path) for path in paths]))

    def with_cmd(self, command: str | Sequence[str]) -> Chain:
        """With what is run where the caller says nothing: CMD.

        >>> app = image.with_cmd(["python3", "app.py"]).with_cmd("exec python3 $APP")

        Args:
            command: text is the shell's; a sequence is a program and its arguments, or, with an entrypoint, more
                arguments.
        """
        from containerkit.dockerfile import literal

        return self._with(literal.cmd(command))

    def with_entrypoint(self, command: str | Sequence[str]) -> Chain:
        """With what is always run: ENTRYPOINT. An empty sequence takes the entrypoint away.

        >>> app = image.with_entrypoint(["tini", "--"]).with_cmd(["server"])

        Args:
            command: as of :meth:`with_cmd`. A command that the base image has goes with it.
        """
        from containerkit.dockerfile import literal

        return self._with(literal.entrypoint(command))

    def with_expose(self, *ports: int | str) -> Chain:
        """With ports that its programs listen on: EXPOSE.

        >>> app = image.with_expose(80, "53/udp", "8000-8010")
        """
        from containerkit.dockerfile import literal

        return self._with(literal.expose(ports))

    def with_label(self, values: Mapping[str, object] | None = None, /, **names: object) -> Chain:
        """With labels: LABEL.

        >>> app = image.with_label({"org.opencontainers.image.version": "1.2"}, stage="test")
        """
        from containerkit.dockerfile import literal

        return self._with(literal.label({**(values or {}), **names}))

    def with_healthcheck(
        self, test: str | Sequence[str] | Mapping[str, Any] | Healthcheck | None, **times: Any
    ) -> Chain:
        """With a way to ask its containers whether they are well: HEALTHCHECK. None: there is none.

        >>> app = image.with_healthcheck("wget -q localhost", interval="5s", retries=2)

        Args:
            test: a command line, a command, or all of it as ``run(healthcheck=…)`` takes it.
            times: ``interval``, ``timeout``, ``start_period``, ``start_interval`` and ``retries``, as of
                :class:`Healthcheck`, which the others are in.
        """
        from containerkit.dockerfile import literal

        if isinstance(test, (Mapping, Healthcheck)):
            given = {**(test if isinstance(test, Mapping) else test._asdict()), **times}
        else:
            given = {"test": ["NONE"] if test is None else test, **times}
        return self._with(literal.healthcheck(given))

    def with_stopsignal(self, signal: str | int) -> Chain:
        """With the signal that ends it: STOPSIGNAL.

        >>> app = image.with_stopsignal("SIGQUIT")
        """
        from containerkit.dockerfile import literal

        return self._with(literal.stopsignal(signal))

    def with_shell(self, command: Sequence[str]) -> Chain:
        """With another shell for the command lines that follow: SHELL.

        >>> app = image.with_shell(["/bin/bash", "-euo", "pipefail", "-c"])
        """
        from containerkit.dockerfile import literal

        return self._with(literal.shell(command))

    def with_onbuild(self, instruction: str) -> Chain:
        """With an instruction for the images that are built on top of it: ONBUILD.

        >>> app = image.with_onbuild("COPY . /app")

        Args:
            instruction: a line of a Dockerfile, with its variables and quotes.
        """
        from containerkit.dockerfile import literal

        return self._with(literal.onbuild(instruction))
