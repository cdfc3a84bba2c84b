"""FROM: what a stage begins with. And COPY --from: what else files come from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from containerkit.builder.state import State
from containerkit.builder.wishes import Wishes
from containerkit.configuration import Configuration
from containerkit.errors import NotFound
from containerkit.oci import platforms
from containerkit.oci.manifest import Platform
from containerkit.progress import Progress
from containerkit.registry import finding
from containerkit.registry.deadline import Deadline
from containerkit.store.images import ImageRecord
from containerkit.store.ingest import Ingest
from containerkit.store.store import Store

#: An image that is removed when it has just been found is looked for once more.
_ATTEMPTS = 2


class Bases:
    """The images that a build starts from, each looked up or pulled once. From any of its threads.

    Args:
        deadline: when they have to be here; whoever calls it off ends the pulls.
        need: keeps layers of that name from being removed until the build is over.
    """

    def __init__(
        self, store: Store, configuration: Configuration, wishes: Wishes, ingest: Ingest, deadline: Deadline,
        need: Callable[[Iterable[str]], None],
    ) -> None:  # fmt: skip
        self._store, self._configuration, self._wishes = store, configuration, wishes
        self._ingest, self._deadline, self._need = ingest, deadline, need
        self._known: dict[tuple[str, str], Future[State]] = {}
        self._lock = threading.Lock()

    @property
    def target(self) -> Platform:
        """What the image is for."""
        if self._wishes.platform is not None:
            return self._wishes.platform
        said = self._configuration.platform
        return platforms.parse(said) if said else platforms.this_machine()

    def find(
        self, name: str, platform: str = "", progress: Progress | None = None, *, is_local: bool = False
    ) -> State:  # fmt: skip
        """The image of that name; pulled when it is not here, or when the caller wants that.

        Args:
            progress: who is told of the pull.
            is_local: no registry is asked.

        Raises:
            NotFound: there is none.
        """
        wanted = platform or ("" if self._wishes.platform is None else platforms.text(self._wishes.platform))
        with self._lock:
            is_first = (name, wanted) not in self._known
            known = self._known.setdefault((name, wanted), Future())
        if is_first:
            policy = "never" if is_local else "always" if self._wishes.pull else "missing"
            try:
                known.set_result(State.of(self.record(name, wanted, policy, progress)))
            except BaseException as error:
                known.set_exception(error)
        return known.result()

    def record(
        self, name: str, platform: str = "", policy: str = "missing", progress: Progress | None = None
    ) -> ImageRecord:  # fmt: skip
        """The image of that name, which stays until the end of the build.

        Raises:
            NotFound: there is none, or not all of it.
        """
        for _ in range(_ATTEMPTS):
            record = self._obtained(name, platform, policy, progress)
            self._need(record.chain_ids)
            missing = [layer.digest for layer in record.layers if not self._ingest.hold(layer.digest)]
            if not missing:
                return record
        raise NotFound(f"image {name}: blob {missing[0]}: not in the store (remove the image, and get it again)")

    def _obtained(self, name: str, platform: str, policy: str, progress: Progress | None) -> ImageRecord:
        if name in self._wishes.images:
            return self._store.images.get(self._wishes.images[name])
        _, record = finding.obtain(
            self._store, self._configuration, name, policy, platform or None, progress=progress, timeout=self._deadline
        )
        return record
