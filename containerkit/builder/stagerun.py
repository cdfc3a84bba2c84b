"""One stage, step after step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from containerkit import dockerfile as language
from containerkit.builder import history
from containerkit.builder.fetch import is_url
from containerkit.builder.inputs import Inputs, digest, key
from containerkit.builder.mounting import Mounted, Mounter
from containerkit.builder.report import BuildStep, Outcome
from containerkit.builder.running import Failed, Program
from containerkit.builder.sources import Request
from containerkit.builder.state import State
from containerkit.dockerfile import Instruction, Scope
from containerkit.dockerfile.config import DEFAULT_SHELL, apply, environment
from containerkit.errors import BuildError, ContainerkitError, InvalidArgument, Timeout
from containerkit.oci.image_config import format_time
from containerkit.options import Mount
from containerkit.progress import Progress
from containerkit.store.ingest import Written
from containerkit.values import frozen

if TYPE_CHECKING:
    from containerkit.builder.build import Build

#: Where a script with an interpreter of its own is: in the container's /dev, which leaves nothing in the layer.
_SCRIPT = "/dev/containerkit-script"
_SEEN = ("add_hosts", "dns", "cap_add", "cap_drop", "security_opt", "ulimits", "shm_size")
#: What progress calls the ways a step goes well.
_STATES = {"hit": "HIT", "miss": "MISS", "config": "done"}


@frozen
class Built:
    """What a stage came to: its state, and what a stage on top of it sees.

    Args:
        is_known: False in a rehearsal, when the files are those of a step that was not carried out.
    """

    state: State
    scope: Scope
    is_known: bool = True


class NotKnown(Exception):
    """In a rehearsal: what a step depends on is not there yet."""


class StepFailed(Exception):
    """A step could not be carried out; ``state`` is what it was to start from."""

    def __init__(self, error: ContainerkitError, step: Step, state: State, exit_code: int | None = None) -> None:
        super().__init__(str(error))
        self.error, self.step, self.state, self.exit_code = error, step, state, exit_code


def _request(one: language.Copy | language.Add, workdir: str) -> Request:
    inline = tuple((heredoc.name, heredoc.data.encode()) for heredoc in one.heredocs)
    request = Request(one.sources, one.destination, workdir or "/", inline, one.chown, one.chmod, exclude=one.exclude)
    if isinstance(one, language.Copy):
        return replace(request, parents=one.parents)
    return replace(request, is_add=True, unpack=one.unpack, checksum=one.checksum)


@frozen
class Step:
    """One instruction of a stage.

    Args:
        number: from 1 on; 0 for FROM.
        trigger: it is one of the base image's.
    """

    stage: str
    number: int
    count: int
    instruction: Instruction
    trigger: bool = False

    @property
    def title(self) -> str:
        """As a person sees it."""
        return f"{self.number}/{self.count} {'ONBUILD ' if self.trigger else ''}{self.instruction.source}"


class StageRun:
    """Carries out one stage.

    Args:
        base: what its FROM gives.
        progress: is told of the steps, and what they write.
    """

    def __init__(self, build: Build, stage: language.Stage, base: Built, progress: Progress) -> None:
        self._build, self._stage, self._progress = build, stage, progress
        self._name, self.index = str(stage), stage.index
        self._state, self._scope, self._is_known = base.state, base.scope, base.is_known
        self._has_cmd = False
        self.steps: list[BuildStep] = []
        self.warnings: list[language.Warning] = []

    def run(self) -> Built:
        """What it comes to.

        Raises:
            StepFailed: a step cannot be carried out.
        """
        triggers = self._triggers()
        instructions = [*((one, True) for one in triggers), *((one, False) for one in self._stage.instructions)]
        for number, (instruction, is_trigger) in enumerate(instructions, 1):
            step = Step(self._name, number, len(instructions), instruction, is_trigger)
            self._build.check()
            self._do(step)
        return Built(self._state, self._scope, self._is_known)

    def _triggers(self) -> Sequence[Instruction]:
        """The base image's ONBUILD instructions, which are this stage's first, and nobody else's after it."""
        config = self._state.config
        if not config.on_build:
            return ()
        self._state = self._state.with_config(replace(config, on_build=None))
        return language.parse_instructions(config.on_build, f"ONBUILD of {self._stage.base.image}")

    # -- one step ----------------------------------------------------------------------------------------------------

    def _do(self, step: Step) -> None:
        began = time.perf_counter()
        outcome: Outcome = "failed"
        because: tuple[str, ...] = ()
        state = "failed"
        self._progress.item(step.title, "")
        try:
            outcome, because = self._carry_out(step)
            state = _STATES[outcome]
        except NotKnown:
            outcome, self._is_known = "unknown", False
        except StepFailed:
            state = "ended"  # it is another stage's, which this one needs
            raise
        except Failed as failed:
            error = BuildError(f"exit code {failed.exit_code}", log=failed.log)
            raise StepFailed(error, step, self._state, failed.exit_code) from failed
        except Timeout:
            raise
        except (ContainerkitError, OSError) as error:
            problem = error if isinstance(error, ContainerkitError) else self._build.os_error(error)
            because = (problem.message,)
            if not self._build.is_rehearsal:
                raise StepFailed(problem, step, self._state) from error
            self._is_known = False
        finally:
            # What another stage's failure has ended has not failed itself.
            self._progress.item(step.title, "ended" if state == "failed" and self._build.is_over else state)
            seconds = time.perf_counter() - began
            line = 0 if step.trigger else step.instruction.location.first
            self.steps.append(
                BuildStep(self._name, step.number, step.instruction.source, outcome, because, seconds, line)
            )

    def _carry_out(self, step: Step) -> tuple[Outcome, tuple[str, ...]]:
        instruction = step.instruction
        if isinstance(instruction, language.Arg):
            return self._declare(instruction)
        # Before the base was there, nobody knew its variables.
        self.warnings += language.undefined_variables(instruction, self._scope.variables)
        if isinstance(instruction, language.OnBuild):
            expanded: Instruction = instruction  # its variables are the other build's
        else:
            expanded = instruction.expanded(self._scope.variables)
        self._scope = self._scope.after(instruction)
        if isinstance(expanded, language.Run):
            return self._run(step, expanded)
        if isinstance(expanded, (language.Copy, language.Add)):
            return self._copy(step, expanded)
        if isinstance(expanded, language.Workdir):
            return self._enter(step, expanded)
        self._configure(expanded)
        return "config", ()

    def _declare(self, instruction: language.Arg) -> tuple[Outcome, tuple[str, ...]]:
        self._scope = self._scope.after(instruction)
        said = " ".join(
            name if value is None else f"{name}={value}"
            for name, value in ((name, self._scope.args.get(name)) for name, _ in instruction.pairs)
        )
        self._state = self._state.configured(self._state.config, history.entry(f"ARG {said}"))
        return "config", ()

    def _configure(self, instruction: Instruction) -> None:
        state = self._state
        if isinstance(instruction, language.Maintainer):
            state = replace(state, image=replace(state.image, author=instruction.author))
        config = apply(state.config, instruction, keeps_cmd=self._has_cmd)
        self._has_cmd = self._has_cmd or isinstance(instruction, language.Cmd)
        if isinstance(instruction, language.OnBuild):
            self._state = state.with_config(config)  # what is done is the other build's to tell
        else:
            self._state = state.configured(config, history.entry(instruction.source))

    # -- those that change files -------------------------------------------------------------------------------------

    def _run(self, step: Step, instruction: language.Run) -> tuple[Outcome, tuple[str, ...]]:
        config = self._state.config
        if instruction.devices:
            raise InvalidArgument("RUN: --device: builds have no devices (a container that is run has: devices=…)")
        if instruction.security != "sandbox":
            raise InvalidArgument("RUN: --security=insecure: builds have no more rights than containers")
        shell = config.shell or DEFAULT_SHELL
        command = (
            ((_SCRIPT,) if instruction.is_program else (*shell, instruction.script))
            if isinstance(instruction.command, str)
            else instruction.command
        )
        mounter = Mounter(self._build, self._stage)
        network = {"none": "none", "host": "host"}.get(instruction.network, self._build.wishes.options.get("network"))
        inputs = {
            "the files below": self._below,
            "the instruction": digest("\0".join(command)),
            **({"the script": digest(instruction.script)} if instruction.is_program else {}),
            "the user": config.user or "0",
            "the directory": config.working_dir or "/",
            "the network": str(network or "default"),
            "the options": digest(repr(sorted(self._seen_options().items()))),
            "the volumes": " ".join(sorted(config.volumes or {})),
            **{f"env {name}": digest(value) for name, value in environment(config).items()},
            **{f"arg {name}": digest(value) for name, value in self._scope.cached.items()},
            **mounter.inputs(instruction.mounts),
            "the times": str(self._build.wishes.epoch or ""),
        }
        told = history.entry(history.run(command, self._arguments()))

        def make() -> Written | None:
            with ExitStack() as stack:
                mounted = mounter.prepare(instruction.mounts, config.working_dir, stack)
                if instruction.is_program:
                    script = self._build.script(instruction.script, stack)
                    mounted.mounts.append(Mount(_SCRIPT, script, "bind", read_only=True))
                return self._build.runner.run(
                    self._state,
                    self._program(command, mounted, network),
                    lambda line: self._progress.line(step.title, line),
                )

        return self._layer(step, inputs, told, make)

    def _seen_options(self) -> dict[str, object]:
        """Those that a program can see; what it may use of the machine changes nothing of what it makes."""
        return {name: value for name, value in self._build.wishes.options.items() if name in _SEEN}

    def _arguments(self) -> dict[str, str]:
        """The build arguments as a command sees them, in the order of their declaration; ENV wins."""
        return {name: self._scope.env.get(name, value) for name, value in self._scope.args.items()}

    def _program(self, command: Sequence[str], mounted: Mounted, network: object) -> Program:
        env = self._scope.environment
        options = {**self._build.wishes.options, "mounts": mounted.mounts}
        if network is not None:
            options["network"] = network
        return Program(command, env, options, mounted.hidden)

    def _copy(self, step: Step, instruction: language.Copy | language.Add) -> tuple[Outcome, tuple[str, ...]]:
        build, state = self._build, self._state
        request = _request(instruction, state.config.working_dir)
        origin = instruction.from_ if isinstance(instruction, language.Copy) else ""
        if build.is_rehearsal and any(map(is_url, instruction.sources)):
            raise NotKnown
        # A link looks at nothing below, and is the same on top of anything.
        below = "any" if instruction.link else self._below
        layers = () if instruction.link or build.is_rehearsal else build.layers(state)
        told = history.copy(instruction)
        with build.copying(request, origin, self._stage, layers) as copying:
            inputs = {
                "the files below": below,
                "the directory": state.config.working_dir or "/",
                "the instruction": digest(told.created_by),  # not what the files' origin is called
                "the times": str(build.wishes.epoch or ""),
                **copying.inputs,
            }
            return self._layer(step, inputs, told, partial(build.written, copying.write))

    def _enter(self, step: Step, instruction: language.Workdir) -> tuple[Outcome, tuple[str, ...]]:
        before = self._state
        config = apply(before.config, instruction)
        path, user = config.working_dir, config.user
        inputs = {
            "the files below": self._below,
            "the instruction": digest(f"WORKDIR {path}"),
            "the user": user or "0",
            "the times": str(self._build.wishes.epoch or ""),
        }
        told = history.entry(f"WORKDIR {path}")
        found = self._layer(step, inputs, told, lambda: self._build.directory(before, path))
        self._state = self._state.with_config(config)
        return found

    @property
    def _below(self) -> str:
        """
        Raises:
            NotKnown: of a rehearsal: the files are those of a step that was not carried out.
        """
        if not self._is_known:
            raise NotKnown
        return self._state.files

    def _layer(
        self, step: Step, inputs: Inputs, told: history.Entry, make: Callable[[], Written | None]
    ) -> tuple[Outcome, tuple[str, ...]]:
        """The state with what the step comes to, from the cache or made."""
        build = self._build
        found = build.cache.find(inputs)
        outcome: Outcome = "hit"
        because: tuple[str, ...] = ()
        if found is None:
            source = step.instruction.source
            place, slot = (key({"build": build.wishes.name, "stage": self._name, "step": one})
                           for one in (source, str(step.number)))  # fmt: skip
            because, outcome = build.cache.why(place, slot, inputs), "miss"
            if build.is_rehearsal:
                self._is_known = False
                return outcome, because
            written = make()
            chain_id = build.place(written, self._state)
            found = build.cache.add(place, slot, source, inputs, written, chain_id)
        epoch = build.wishes.epoch
        entry = replace(told, created=format_time(found.created if epoch is None else epoch))
        if found.layer is None:
            self._state = self._state.configured(self._state.config, entry)
        else:
            self._state = self._state.grown(found.layer, found.diff_id, entry)
            build.keep(self._state)
        self._state = self._state.after(found.key, found.created, has_layer=found.layer is not None)
        return outcome, because
