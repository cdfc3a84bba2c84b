"""Sessions: what is made in one ends with it, and with its process.

Which session a new container belongs to: the innermost one whose ``with`` this thread or task is in (a context
variable); in none, the last one of the process that was opened and is open still.
"""

from __future__ import annotations

import atexit
import builtins
import os
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from containerkit.errors import InvalidState
from containerkit.store.netrows import SESSION
from containerkit.supervise import abandoned, names
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine

_COLUMNS = ("name", "image", "status")
#: Those of this process, in the order in which they were opened.
_open: list[Session] = []
_entered: ContextVar[tuple[Session, ...]] = ContextVar("containerkit sessions", default=())


class Session:
    """A time at whose end everything goes that was made in it: ``with ck.session(): …``, or, for a whole notebook,
    ``session = ck.session()``, until ``session.close()`` or the end of the kernel, also when that is killed.

    To it belong containers, running and ended ones, with their volumes that have no name; networks; and volumes made
    without a name. Images, and volumes with a name, stay: what is in these was meant to be kept.

    ``with`` holds for its thread or task. Threads that are in no ``with`` of their own, and cells of a notebook, get
    the last session of the process that is open. In one session there may be others; each ends for itself.
    """

    def __init__(self, engine: Engine) -> None:
        from containerkit.sessions import watchdog

        self._engine = engine
        self.id = names.random_id()
        lease = engine.store.leases.take(self.id)
        assert lease is not None
        self._lease = lease
        try:
            self._watchdog = watchdog.start(engine, self.id, lease)
        except BaseException:
            os.close(lease)
            raise
        self._process = os.getpid()
        self._tokens: list[Token[tuple[Session, ...]]] = []
        self.closed = False
        _open.append(self)

    @property
    def containers(self) -> builtins.list[Container]:
        """Its containers, also those that have ended, newest first."""
        from containerkit.container import Container

        store = self._engine.store
        found = (store.containers.read(id) for id in abandoned.containers(store, self.id))
        return [Container(self._engine, record.id, record.name) for record in found if record is not None]

    def close(self) -> None:
        """Remove what belongs to it, now. A session that is closed already, or is another process's, is left alone.

        Interrupted, it returns at once, and its watchdog does the rest.

        Raises:
            ContainerkitError: something could not be removed; the rest is gone all the same.
        """
        if self.closed or os.getpid() != self._process:
            return
        from containerkit.sessions import watchdog

        self.closed = True
        _open.remove(self)
        try:
            problems = abandoned.end(self._engine.store, self.id)
        except BaseException:
            watchdog.hand_over(self._watchdog)
            raise
        finally:
            os.close(self._lease)
        watchdog.dismiss(self._watchdog)
        if problems:
            raise problems[0]

    def __enter__(self) -> Session:
        if self.closed:
            raise InvalidState("session: cannot be entered: it is closed")
        self._tokens.append(_entered.set((*_entered.get(), self)))
        return self

    def __exit__(self, *exception: object) -> None:
        _entered.reset(self._tokens.pop())
        self.close()

    def rows(self) -> builtins.list[dict[str, object]]:
        """A row per container, sorted by name."""
        rows = self._engine.containers.rows()
        mine = {container.short_id for container in self.containers}
        return [row for row in rows if row["id"] in mine]

    def __repr__(self) -> str:
        if self.closed:
            return "closed session"
        return text.table(self.rows(), _COLUMNS, empty="session without containers")

    def _repr_html_(self) -> str:
        if self.closed:
            return html.note("closed session")
        return html.table(self.rows(), _COLUMNS, empty="session without containers")


def current(engine: Engine) -> str:
    """The id of the session that what this thread makes belongs to; empty for none."""
    for session in (*reversed(_entered.get()), *reversed(_open)):
        if session._engine == engine and not session.closed:
            return session.id
    return ""


def labelled(engine: Engine, labels: Mapping[str, str] | None) -> dict[str, str]:
    """The labels of a network or volume that belongs to the session, where there is one."""
    session = current(engine)
    return {**(labels or {}), **({SESSION: session} if session else {})}


@atexit.register
def _close_all() -> None:
    for session in reversed(_open.copy()):
        session.close()
