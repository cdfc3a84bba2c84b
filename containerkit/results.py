"""What calls give back: plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from containerkit.errors import NotFound, ProcessFailed
from containerkit.options import foreign
from containerkit.values import frozen
from containerkit.views import frames, html, text
from containerkit.views import steps as drawing
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    import pandas

STREAMS = {1: "stdout", 2: "stderr"}


@frozen
class Chunk:
    """Bytes as they came out of one stream at one moment; ``time`` in epoch nanoseconds, ``stream`` 1 or 2."""

    time: int
    stream: int
    data: bytes


@frozen
class LogLine:
    """One line of output, without its line end. ``time`` is when its first byte was read, in UTC."""

    time: datetime
    stream: str
    text: str

    def __str__(self) -> str:
        return self.text


@foreign.answers
@dataclass(frozen=True, eq=False)
class Result(Shown):
    """How a process ended, and what it wrote.

    Args:
        exit_code: as a shell gives it: 0 is success, 128+n the death by signal n.
        duration: seconds from start to end.
        oom_killed: whether the kernel ended a process of it because memory ran out.
        command: what ran.
        chunks: opens the output; long output stays on disk until it is asked for.
    """

    exit_code: int
    duration: float = 0.0
    oom_killed: bool = False
    command: tuple[str, ...] = ()
    chunks: Callable[[], Iterator[Chunk]] = field(default=lambda: iter(()), repr=False)

    def _bytes(self, stream: int) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks() if chunk.stream == stream)

    @property
    def stdout_bytes(self) -> bytes:
        """Standard output, exactly."""
        return self._bytes(1)

    @property
    def stderr_bytes(self) -> bytes:
        """Standard error, exactly."""
        return self._bytes(2)

    @property
    def stdout(self) -> str:
        """Standard output as text; bytes that are not UTF-8 show as U+FFFD."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error as text; bytes that are not UTF-8 show as U+FFFD."""
        return self.stderr_bytes.decode(errors="replace")

    @property
    def lines(self) -> list[LogLine]:
        """The output line by line, in the order it came."""
        return [line for _, line in split_lines(self.chunks())]

    def check(self) -> Result:
        """This result, when the exit code is 0.

        Raises:
            ProcessFailed: it is not; the last lines of standard error are in the message.
        """
        if self.exit_code == 0:
            return self
        what = " ".join(self.command) or "process"
        why = " (out of memory)" if self.oom_killed else ""
        raise ProcessFailed(f"{what}: exit code {self.exit_code}{why}", result=self, log=self.tail())

    def tail(self, lines: int = 10) -> str:
        """The last lines of standard error, or of standard output when there are none."""
        text = self.stderr or self.stdout
        return "\n".join(text.splitlines()[-lines:])

    def __bool__(self) -> bool:
        return self.exit_code == 0

    def __repr__(self) -> str:
        sizes = f"stdout={_abbreviate(self.stdout)}"
        if error := self.stderr:
            sizes += f", stderr={_abbreviate(error)}"
        killed = ", oom_killed=True" if self.oom_killed else ""
        return f"Result(exit_code={self.exit_code}, {sizes}{killed})"

    def _repr_html_(self) -> str:
        return html.result(self.exit_code, self.oom_killed, self.stdout, self.stderr)


def _abbreviate(text: str, limit: int = 60) -> str:
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}… ({len(text)} characters)"


def split_lines(chunks: Iterator[Chunk], *, cut: bool = False) -> Iterator[tuple[bool, LogLine]]:
    """Lines of each stream, put together over chunk borders; a last line without an end counts.

    Args:
        cut: the chunks begin somewhere in the output.

    Yields:
        Whether the line is whole, and the line: cut, the first one of each stream may lack its beginning.
    """
    # By stream: when the line that has not ended yet began, and its parts.
    pending: dict[int, tuple[int, list[bytes]]] = {}
    seen: set[int] = set()

    def line(began: int, stream: int, data: bytes) -> tuple[bool, LogLine]:
        whole = not cut or stream in seen
        seen.add(stream)
        return whole, _line(began, stream, data)

    for chunk in chunks:
        first, *others = chunk.data.split(b"\n")
        began, parts = pending.setdefault(chunk.stream, (chunk.time, []))
        parts.append(first)
        if not others:
            continue
        yield line(began, chunk.stream, b"".join(parts))
        for middle in others[:-1]:
            yield line(chunk.time, chunk.stream, middle)
        pending.pop(chunk.stream)
        if others[-1]:
            pending[chunk.stream] = (chunk.time, [others[-1]])
    for stream, (began, parts) in sorted(pending.items()):
        yield line(began, stream, b"".join(parts))


def _line(time: int, stream: int, data: bytes) -> LogLine:
    when = datetime.fromtimestamp(time / 1e9, timezone.utc)
    return LogLine(when, STREAMS[stream], data.removesuffix(b"\r").decode(errors="replace"))


@frozen
class Step:
    """One operation of a start.

    Args:
        where: who executes it: ``host``, or ``container``: its first process.
        calls: the system calls that it stands for, the telling ones.
        nanoseconds: what it cost; None when it was not measured.
    """

    number: int
    where: str
    operation: str
    description: str
    nanoseconds: int | None = None
    calls: tuple[str, ...] = ()


_PLAN_COLUMNS = ("number", "where", "operation", "description", "calls", "microseconds")


@frozen
class Plan(Shown):
    """What a start consists of, in order, with what each step cost the last time."""

    steps: tuple[Step, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def nanoseconds(self) -> int:
        """What its measured steps cost together; those of the host and those of the container overlap."""
        return sum(step.nanoseconds or 0 for step in self.steps)

    def drawn(self) -> list[drawing.Operation]:
        """The steps as they are drawn."""
        return [
            drawing.Operation(step.number, step.operation, step.where, step.description, step.calls, step.nanoseconds)
            for step in self.steps
        ]

    def rows(self) -> list[dict[str, object]]:
        """A row per step; ``microseconds`` is None for what was not measured."""
        return [
            {
                "number": step.number, "where": step.where, "operation": step.operation,
                "description": step.description, "calls": ", ".join(step.calls),
                "microseconds": None if step.nanoseconds is None else round(step.nanoseconds / 1000),
            }
            for step in self.steps
        ]  # fmt: skip

    def frame(self) -> pandas.DataFrame:
        """The steps as a pandas frame."""
        return frames.frame(self.rows(), _PLAN_COLUMNS)

    def __repr__(self) -> str:
        return text.table(self.rows(), _PLAN_COLUMNS)

    def _repr_html_(self) -> str:
        cost = f", {self.nanoseconds / 1e6:.1f} ms" if self.nanoseconds else ""
        return drawing.plan(f"{len(self)} operations{cost}", self.drawn())


@frozen
class Finding:
    """One thing that was looked for.

    Args:
        area: kernel, cgroups, rights, programs or store.
        ok: it is there; ``detail`` says how it is.
        lost: what cannot be done without it; ``mend``: the command that gets it.
    """

    area: str
    name: str
    ok: bool
    detail: str
    lost: str = ""
    mend: str = ""


_FINDING_COLUMNS = ("area", "name", "status", "detail", "lost", "mend")


@frozen
class Doctor(Shown):
    """What a machine has of what containers need. True when nothing is missing."""

    findings: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return not self.missing

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, name: str) -> Finding:
        """The finding of that name.

        Raises:
            NotFound: nobody looks for that.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise NotFound(f"finding {name}: there is none; see list(doctor)")

    @property
    def missing(self) -> tuple[Finding, ...]:
        """What is not there."""
        return tuple(finding for finding in self.findings if not finding.ok)

    def rows(self) -> list[dict[str, object]]:
        """A row per finding."""
        return [
            {
                "area": f.area, "name": f.name, "status": "ok" if f.ok else "missing", "detail": f.detail,
                "lost": f.lost, "mend": f.mend,
            }
            for f in self.findings
        ]  # fmt: skip

    def frame(self) -> pandas.DataFrame:
        """The findings as a pandas frame."""
        return frames.frame(self.rows(), _FINDING_COLUMNS)

    def __repr__(self) -> str:
        lines = [f"{len(self.findings) - len(self.missing)} of {len(self.findings)} found"]
        for finding in self.findings:
            lines.append(f"{'ok     ' if finding.ok else 'MISSING'}  {finding.area}: {finding.name}: {finding.detail}")
            if not finding.ok:
                lines += [f"             lost: {finding.lost}", f"             mend: {finding.mend}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html.table(self.rows(), _FINDING_COLUMNS)


@frozen
class PruneReport(Shown):
    """What was removed: names (of images without one their ids), sorted, and the bytes that are free now."""

    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    space_reclaimed: int = 0

    def __repr__(self) -> str:
        counts = [(len(self.containers), "container"), (len(self.images), "image")]
        counts += [(len(self.networks), "network")] if self.networks else []
        counts += [(len(self.volumes), "volume")] if self.volumes else []
        what = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts)
        return f"PruneReport({what}, {text.size(self.space_reclaimed)} reclaimed)"

    def _repr_html_(self) -> str:
        removed = {name: ", ".join(getattr(self, name)) for name in ("containers", "images", "networks", "volumes")}
        rows = {name: names for name, names in removed.items() if names}
        return html.card("pruned", "", rows | {"reclaimed": text.size(self.space_reclaimed)})


@frozen
class LayerDetails:
    """One layer of an image.

    Args:
        number: 1 for the lowest.
        diff_id: digest of its uncompressed tar; ``digest`` that of its blob.
        size: bytes of its files; ``blob_size`` of its blob.
        compression: of the blob: gzip, zstd, none.
        created_by: the step that made it, as the history says.
    """

    number: int
    diff_id: str
    digest: str
    size: int
    blob_size: int
    compression: str
    created_by: str


@frozen
class SearchResult:
    """A repository that was found; ``stars`` and ``official`` are Docker Hub's, ``tags`` a private registry's."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    tags: tuple[str, ...] = ()


_SEARCH_COLUMNS = ("name", "description", "stars", "official", "tags")


@frozen
class SearchResults(Shown):
    """What a search has found, in the registry's order."""

    found: tuple[SearchResult, ...]

    def __iter__(self) -> Iterator[SearchResult]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: int) -> SearchResult:
        return self.found[index]

    def rows(self) -> list[dict[str, object]]:
        """A row per repository."""
        return [
            {
                "name": one.name, "description": one.description, "stars": one.stars, "official": one.official,
                "tags": ", ".join(one.tags),
            }
            for one in self.found
        ]  # fmt: skip

    def frame(self) -> pandas.DataFrame:
        """The repositories as a pandas frame."""
        return frames.frame(self.rows(), _SEARCH_COLUMNS)

    def _shown(self) -> list[str]:
        """The columns that say something: Docker Hub has stars, a private registry has tags."""
        rows = self.rows()
        return [name for name in _SEARCH_COLUMNS if name == "name" or any(row[name] for row in rows)]

    def __repr__(self) -> str:
        return text.table(self.rows(), self._shown(), empty="nothing found")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), self._shown(), empty="nothing found")
