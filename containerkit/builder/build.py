"""One build, from end to end."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import field, replace
from functools import partial
from pathlib import Path

from containerkit.builder import inline, result, workdir
from containerkit.builder.bases import Bases
from containerkit.builder.cache import Cache
from containerkit.builder.context import Context
from containerkit.builder.copying import Copying, plan
from containerkit.builder.planning import Plan
from containerkit.builder.report import BuildReport, BuildStep, counted
from containerkit.builder.running import Runner
from containerkit.builder.sources import Request
from containerkit.builder.stagerun import Built, NotKnown, StageRun, StepFailed
from containerkit.builder.state import State
from containerkit.builder.tree import Layers, Tree
from containerkit.builder.wishes import Wishes
from containerkit.configuration import Configuration
from containerkit.dockerfile import Dockerfile, Scope, Stage, platform_arguments
from containerkit.dockerfile.config import environment
from containerkit.dockerfile.stages import SCRATCH, source_of
from containerkit.errors import ContainerkitError, InvalidArgument, NotFound, RegistryError, Timeout, from_os_error
from containerkit.layers.lookup import read_text
from containerkit.layers.pack import Archive
from containerkit.oci import digest as digests
from containerkit.oci import platforms, users
from containerkit.oci.manifest import read_manifest
from containerkit.options.values import duration, size
from containerkit.progress import Progress
from containerkit.registry.deadline import Deadline
from containerkit.store import rights
from containerkit.store.images import ImageRecord
from containerkit.store.ingest import Ingest, Written, write_layer
from containerkit.store.store import Store
from containerkit.store.workspace import Workspace
from containerkit.values import frozen

#: Stages that are carried out side by side.
_STAGES = 4


@frozen
class Finished:
    """What came of a build."""

    image: ImageRecord
    report: BuildReport


class BuildFailed(Exception):
    """What went wrong, and what there is of the image: ``image`` is as it was before the step that failed."""

    def __init__(self, failed: StepFailed, image: ImageRecord | None, report: BuildReport) -> None:
        super().__init__(str(failed.error))
        self.error, self.step, self.exit_code = failed.error, failed.step, failed.exit_code
        self.image, self.report = image, report


@frozen
class Files:
    """What COPY and ADD see.

    Args:
        context: what they see where nothing is said.
        named: others, by name (``COPY --from=NAME``).
    """

    context: Context
    named: Mapping[str, Context] = field(default_factory=dict)


def build(
    store: Store, configuration: Configuration, source: Dockerfile, files: Files, wishes: Wishes, progress: Progress
) -> Finished:
    """Build an image.

    Raises:
        BuildFailed: a step could not be carried out.
        NotFound: the target, or a base image, is not there.
        InvalidArgument: a build argument that cannot be right.
        Timeout: time was up.
        StorageError: the disk is full.
    """
    with ExitStack() as stack:
        ingest = stack.enter_context(store.ingest())
        one = Build(store, configuration, source, files, wishes, progress, ingest, stack)
        stack.callback(one.cache.close)
        stack.callback(store.filedigests.flush)
        stack.callback(one.runner.close)
        return one.run()


def rehearse(
    store: Store, configuration: Configuration, source: Dockerfile, files: Files, wishes: Wishes, progress: Progress
) -> BuildReport:
    """What a build would find in the cache. Nothing is run, made, fetched or kept but the digests of files."""
    with ExitStack() as stack:
        ingest = stack.enter_context(store.ingest())
        stack.callback(store.filedigests.flush)
        return Build(store, configuration, source, files, wishes, progress, ingest, stack, is_rehearsal=True).rehearse()


class Build:
    """What the stages of one build share. Used by several threads.

    Args:
        stack: keeps what the build needs, and is closed when it is over.
        is_rehearsal: what the cache has is looked up, and that is all.
    """

    def __init__(
        self, store: Store, configuration: Configuration, source: Dockerfile, files: Files, wishes: Wishes,
        progress: Progress, ingest: Ingest, stack: ExitStack, *, is_rehearsal: bool = False,
    ) -> None:  # fmt: skip
        self.store, self.wishes, self.ingest, self.is_rehearsal = store, wishes, ingest, is_rehearsal
        bounds = size(configuration.build_cache_size, "build_cache_size"), duration(configuration.build_cache_age)
        self.cache = Cache(store, ingest, bounds, is_read=not wishes.no_cache)
        self.runner = Runner(store, configuration, ingest, wishes.deadline, wishes.epoch)
        self._need = stack.enter_context(store.layers.needed(()))
        self._deadline = Deadline(None if wishes.deadline is None else max(wishes.deadline - time.monotonic(), 0.0))
        self.bases = Bases(store, configuration, wishes, ingest, self._deadline, self._need)
        self._source, self._files, self._progress = source, files, progress
        self._built: dict[int, Future[Built]] = {}
        self._runs: list[StageRun] = []
        self._lock = threading.Lock()
        self._plan: Plan
        self.is_over = False
        self._error: BaseException | None = None  # of the first stage that has failed

    # -- the stages --------------------------------------------------------------------------------------------------

    def run(self) -> Finished:
        """Carry out the stages that the target needs."""
        self._learn()
        target = self._source.stage(self.wishes.target)
        self._plan = self._planned(target)
        try:
            built = self._carry_out(self._plan.needed(target))
        except BaseException as error:
            self._fail(error)
            raise
        report = self._report()
        return Finished(result.write(self, built.state, report), report)

    def _carry_out(self, wanted: Sequence[Stage]) -> Built:
        """What the last of the stages comes to; the others come before it, or beside it."""
        *others, last = wanted
        with ThreadPoolExecutor(_STAGES, "containerkit-build") as pool:
            for stage in others:  # each after those that it needs: whoever waits, waits for one that goes on
                self._built[stage.index] = pool.submit(self._stage, stage)
                self._built[stage.index].add_done_callback(self._ended)
            try:
                built = self._stage(last)
                for future in [*self._built.values()]:
                    future.result()
                return built
            except BaseException as error:
                first = self._error
                self._break_off()
                pool.shutdown(cancel_futures=True)
                if first is not None and isinstance(error, Exception):
                    raise first from None  # it has ended the others
                raise

    def _ended(self, stage: Future[Built]) -> None:
        """A stage is over. When it has failed, so are the others."""
        error = None if stage.cancelled() else stage.exception()
        if error is not None:
            with self._lock:
                self._error = self._error or error
            self._break_off()

    def _break_off(self) -> None:
        """Nobody needs what the stages still do: commands end, and what is fetched."""
        self.is_over = True
        self.runner.end()
        self._deadline.call_off()

    def _learn(self) -> None:
        """What images of others say of their layers."""
        for name in self.wishes.cache_from:
            try:
                try:
                    record = self.bases.record(name, policy="always")
                except (NotFound, RegistryError):
                    record = self.bases.record(name, policy="never")
            except NotFound:
                continue  # the first build of all has nothing to begin with
            said = read_manifest(self.store.blobs.read(record.manifest.digest), f"image {name}").annotations
            sizes = {chain_id: self.store.layers.size(chain_id) for chain_id in record.chain_ids}
            self.cache.learn(inline.steps(record, said, sizes))

    def rehearse(self) -> BuildReport:
        """What there is of the stages that the target needs."""
        target = self._source.stage(self.wishes.target)
        self._plan = self._planned(target)
        self._build_here(target)
        self._built[target.index].result()
        return self._report()

    def _planned(self, target: Stage) -> Plan:
        given = self.wishes.images.keys() | self._files.named.keys()
        return Plan(self._source.stages, self._scope(str(target)), given)

    def _build_here(self, target: Stage) -> None:
        """Build a stage, and those that it needs, in this thread; but for those that are another thread's."""
        for stage in self._plan.needed(target):
            with self._lock:
                is_ours = stage.index not in self._built
                built = self._built.setdefault(stage.index, Future())
            if is_ours:
                built.add_done_callback(self._ended)
                try:
                    built.set_result(self._stage(stage))
                except BaseException as error:
                    built.set_exception(error)
                    raise

    def _scope(self, target: str) -> Scope:
        automatic = platform_arguments(platforms.this_machine(), self.bases.target, target)
        scope = Scope(dict(self.wishes.build_args), automatic)
        for arg in self._source.global_args:
            scope = scope.after(arg)
        return scope

    def _stage(self, stage: Stage) -> Built:
        progress = self._progress.part()
        progress.begin(f"stage {stage}")
        summary = "not built"
        try:
            run = StageRun(self, stage, self._base(stage, progress), progress)
            with self._lock:
                self._runs.append(run)
            built = run.run()
            summary = counted(run.steps)
            return built
        finally:
            progress.end(summary)

    def _base(self, stage: Stage, progress: Progress) -> Built:
        below, scope = self._plan.below(stage), self._plan.scope
        if below is not None:
            built = self._built[below.index].result()
            return replace(built, scope=scope.stage(built.scope.env, built.scope.args))
        said = stage.base.expanded(scope.variables)
        if said.image.lower() == SCRATCH:
            state = State.scratch(platforms.parse(said.platform) if said.platform else self.bases.target)
        else:
            if said.image in self._files.named:
                raise InvalidArgument(f"FROM {said.image}: a context of that name was given, which is no image")
            told = f"FROM {said.image}"
            progress.item(told, "")
            try:
                state = self._image(said.image, said.platform, progress.part())
            except NotKnown:
                return Built(State.scratch(self.bases.target), scope.stage({}), is_known=False)
            except BaseException as error:
                progress.item(told, "ended" if self.is_over else "failed")
                if isinstance(error, (NotFound, RegistryError)):
                    raise type(error)(f"{said.location}: {told}: {error.message}") from error
                raise
            progress.item(told, "done")
        return Built(state, scope.stage(environment(state.config)))

    def _report(self) -> BuildReport:
        with self._lock:
            runs = sorted(self._runs, key=lambda run: run.index)
        steps: list[BuildStep] = [step for run in runs for step in run.steps]
        warnings = [*self._source.warnings, *(warning for run in runs for warning in run.warnings)]
        return BuildReport(steps, [*dict.fromkeys(str(warning) for warning in warnings)])

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, StepFailed):
            image = None
            with contextlib.suppress(ContainerkitError, OSError):
                image = result.unfinished(self, error.state)
            raise BuildFailed(error, image, self._report()) from error

    # -- for one step ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """
        Raises:
            Timeout: time is up, or another stage has failed.
        """
        deadline = self.wishes.deadline
        if self.is_over or (deadline is not None and time.monotonic() > deadline):
            raise Timeout(f"build {self.wishes.name}: time was up")

    def _origin(self, name: str, user: Stage) -> State:
        """What the stage, or image, is like that ``user`` takes files from.

        Raises:
            NotKnown: in a rehearsal: it is not there yet.
        """
        stage = None if name in self.wishes.images else source_of(name, user, self._source.stages)
        if stage is None:
            return self._image(name)
        self._plan.take(user, stage)
        self._build_here(stage)  # which a trigger of the base image may be the first to need
        built = self._built[stage.index].result()
        if not built.is_known:
            raise NotKnown
        return built.state

    def _image(self, name: str, platform: str = "", progress: Progress | None = None) -> State:
        try:
            return self.bases.find(name, platform, progress, is_local=self.is_rehearsal)
        except NotFound as error:
            if self.is_rehearsal:
                raise NotKnown from error
            raise

    def layers(self, state: State) -> tuple[Path, ...]:
        """The directories of a state's layers, uppermost first, unpacked."""
        # One that is the cache's may be on top of others than it was: it is unpacked there, from where it waits.
        self.store.layers.ensure(state.chain_ids, state.layers, self.ingest)
        return self.store.layers.showing(state.chain_ids, state.layers)[::-1]

    @contextlib.contextmanager
    def copying(self, request: Request, origin: str, user: Stage, layers: Sequence[Path]) -> Iterator[Copying]:
        """What a request comes to, to be written in the block.

        Args:
            origin: the stage, image or named context that it takes files from; empty: the context.
            layers: that the files go on top of, uppermost first.
        """
        with ExitStack() as stack:
            context = self._files.named.get(origin) if origin else self._files.context
            # Steps of several stages look at one context, each for itself.
            tree: Tree = (
                Layers(self.layers(self._origin(origin, user)), origin) if context is None else context.afresh()
            )
            space = stack.enter_context(Workspace(self.store.paths.tmp))
            yield plan(request, tree, layers, space.path, epoch=self.wishes.epoch, deadline=self._deadline)

    def directory(self, state: State, path: str) -> Written | None:
        """A layer with a directory that is not there; None when it is."""
        layers = self.layers(state)
        is_there = bool(layers) and bool(rights.call(workdir.is_there, [*layers], path))
        if is_there:
            return None
        moment = self.wishes.epoch
        return self.written(
            partial(workdir.add, layers=layers, path=path, owner=self._owner(state, layers),
                    moment=time.time_ns() if moment is None else moment * 10**9)
        )  # fmt: skip

    def _owner(self, state: State, layers: Sequence[Path]) -> tuple[int, int]:
        """Who runs the commands of a state."""
        passwd, group = (read_text(layers, f"etc/{name}") for name in ("passwd", "group"))
        found = users.resolve(state.config.user or "", passwd, group)
        return found.uid, found.gid

    def written(self, write: Callable[[Archive], None]) -> Written:
        """A layer of what is written."""
        return rights.call(write_layer, f"{self.ingest.path}/{secrets.token_hex(8)}", write)

    def place(self, written: Written | None, state: State) -> str:
        """A layer that was made is on top of a state from now on; its chain id, or nothing."""
        if written is None:
            return ""
        chain_id = digests.chain(state.chain_ids[-1] if state.chain_ids else None, written.packed.diff_id)
        self._need([chain_id])
        self.store.place(self.ingest, written, state.chain_ids)
        return chain_id

    def keep(self, state: State) -> None:
        """The uppermost layer of a state, from the cache, is needed until the end."""
        self._need(state.chain_ids[-1:])

    def script(self, text: str, stack: ExitStack) -> str:
        """The path of a program that a RUN has in itself."""
        space = stack.enter_context(Workspace(self.store.paths.tmp))
        os.chmod(space.path, 0o755)
        path = space.path / "script"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def os_error(self, error: OSError) -> ContainerkitError:
        """What the kernel says, as an error of the build."""
        return from_os_error(error, f"build {self.wishes.name}")
