"""Variables at a place of a file.

::

    before the first FROM    automatic, then each ARG; what the caller gives wins over a default
    in a stage               its ARGs (given, else default, else global, else automatic), then ENV, which wins
    a stage on a stage       begins with that one's ARGs and ENV

The proxies need no ARG: a command gets them, words do not see them, and neither cache nor history knows them.
Source: the Dockerfile reference, ARG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from containerkit.dockerfile.instruction import Instruction
from containerkit.dockerfile.making import Arg
from containerkit.dockerfile.setting import Env
from containerkit.oci import platforms
from containerkit.oci.manifest import Platform
from containerkit.values import frozen

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PROXIES = frozenset(name for upper in _PROXIES for name in (upper, upper.lower()))
SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"


def platform_arguments(build: Platform, target: Platform, stage: str = "default") -> dict[str, str]:
    """The automatic ARGs: ``TARGETPLATFORM`` and the rest, and the name of the stage that is built."""
    found = {"TARGETSTAGE": stage}
    for front, one in (("BUILD", build), ("TARGET", target)):
        found |= {
            f"{front}PLATFORM": platforms.text(one), f"{front}OS": one.os, f"{front}ARCH": one.architecture,
            f"{front}VARIANT": one.variant,
        }  # fmt: skip
    return found


@frozen
class Scope:
    """What words see. Values: each step gives a new one.

    Args:
        given: what the caller gave (``--build-arg``).
        automatic: as :func:`platform_arguments` has them.
        defaults: the global ARGs with their values.
        args: the ARGs of the stage.
        env: the environment of the image so far.
        is_global: before the first FROM, or in a FROM.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    automatic: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    is_global: bool = True

    @property
    def variables(self) -> Mapping[str, str]:
        if not self.is_global:
            return {**self.args, **self.env}
        given = {name: value for name, value in self.given.items() if name in self.automatic}
        return {**self.automatic, **given, **self.defaults}

    @property
    def environment(self) -> Mapping[str, str]:
        """What a RUN's process gets."""
        given = {name: value for name, value in self.given.items() if name in PROXIES}
        # Programs look for either spelling.
        proxies = {spelled: value for name, value in given.items() for spelled in (name.upper(), name.lower())} | given
        return {**proxies, **self.args, **self.env}

    @property
    def cached(self) -> Mapping[str, str]:
        """The ARGs on which a RUN's result depends: those that are declared, but for what ENV hides."""
        return {name: value for name, value in self.args.items() if name not in self.env}

    def stage(self, env: Mapping[str, str], args: Mapping[str, str] | None = None) -> Scope:
        """The scope in which a stage begins: its base's environment, and its base's ARGs where that is a stage."""
        return replace(self, env=dict(env), args=dict(args or {}), is_global=False)

    def outside(self) -> Scope:
        """The scope of a FROM, whatever stage was before."""
        return replace(self, env={}, args={}, is_global=True)

    def after(self, instruction: Instruction) -> Scope:
        """The scope that follows an instruction, not yet expanded.

        Raises:
            InvalidArgument: as ``instruction.expanded``.
        """
        if isinstance(instruction, Env):
            return replace(self, env={**self.env, **dict(instruction.expanded(self.variables).pairs)})
        if not isinstance(instruction, Arg):
            return self
        if self.is_global:
            return self._with_globals(instruction)
        added = {}
        for name, default in instruction.expanded(self.variables).pairs:
            value = self._value(name, default)
            if value is not None:
                added[name] = value
        return replace(self, args={**self.args, **added})

    def _with_globals(self, instruction: Arg) -> Scope:
        # Here a default sees the names before it in the same instruction.
        scope = self
        for pair in instruction.pairs:
            ((name, default),) = replace(instruction, pairs=(pair,)).expanded(scope.variables).pairs
            value = self.given.get(name, default)
            if value is not None:
                scope = replace(scope, defaults={**scope.defaults, name: value})
        return scope

    def _value(self, name: str, default: str | None) -> str | None:
        if name in self.given or default is not None:
            return self.given.get(name, default)
        return self.defaults.get(name, self.automatic.get(name))
