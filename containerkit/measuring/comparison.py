"""Two recordings, or two images, side by side: ``ck.compare(a, b)``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, overload

from containerkit.errors import InvalidArgument
from containerkit.image import Image
from containerkit.measuring import gauge
from containerkit.measuring.recording import Recording
from containerkit.views import frames, html, plots, text

if TYPE_CHECKING:
    import pandas

    from containerkit.layers.diff import Change

#: Columns of a recording that are levels, and members of its samples that are counters.
_LEVELS = ("cpu_percent", "memory_bytes", "pids")
_COUNTERS = ("throttled_seconds", "io_read_bytes", "io_write_bytes")


@overload
def compare(a: Recording, b: Recording) -> RecordingComparison: ...


@overload
def compare(a: Image | str, b: Image | str) -> ImageComparison: ...


def compare(a: Recording | Image | str, b: Recording | Image | str) -> RecordingComparison | ImageComparison:
    """Two recordings, or two images, side by side: shown as a table, with ``frame()`` and ``plot()``.

    >>> app = image.with_copy({"page": "hello"}, "/").build(tag="app")
    >>> [row["measure"] for row in ck.compare("busybox", "app").rows()][:2]
    ['size_bytes', 'layers']

    Args:
        a, b: recordings, or images (a string is a reference or an id).

    Raises:
        InvalidArgument: not two of a kind; a recording without two samples.
        NotFound: no such image.
    """
    if isinstance(a, Recording) and isinstance(b, Recording):
        return RecordingComparison(a, b)
    if isinstance(a, (Image, str)) and isinstance(b, (Image, str)):
        return ImageComparison(*(Image.get(one) if isinstance(one, str) else one for one in (a, b)))
    raise InvalidArgument(f"compare: expected two recordings or two images, not {_kind(a)} and {_kind(b)}")


def _kind(value: object) -> str:
    return type(value).__name__


class _Comparison:
    """What both have: rows of a measure and its two values, and how they are shown."""

    names: tuple[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """A row per measure, with a column for each of the two."""
        raise NotImplementedError

    def frame(self) -> pandas.DataFrame:
        """The rows as a pandas frame, indexed by ``measure``."""
        return frames.frame(self.rows(), tuple(self.rows()[0]), index="measure")

    def _shown(self) -> list[dict[str, str]]:
        return [{name: _words(row["measure"], value) for name, value in row.items()} for row in self.rows()]

    def __repr__(self) -> str:
        rows = [{name: value.replace("\n", ", ") for name, value in row.items()} for row in self._shown()]
        return text.table(rows, tuple(self.rows()[0]))

    def _repr_html_(self) -> str:
        return html.table(self._shown(), tuple(self.rows()[0]))


def _words(measure: str, value: Any) -> str:
    if not isinstance(value, (int, float)):
        return text.cell("", value)
    return text.size(value) if "bytes" in measure else f"{value:.4g}"


def _named(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a != b else (f"{a} (1)", f"{b} (2)")


class RecordingComparison(_Comparison):
    """Two recordings: mean, highest and 95th percentile of what they use, and what was used in all."""

    def __init__(self, a: Recording, b: Recording) -> None:
        self.names = _named(a.name, b.name)
        self._recordings = (a, b)
        self._frames = [one.frame() for one in (a, b)]
        for name, frame in zip((a.name, b.name), self._frames, strict=True):
            if not len(frame):
                raise InvalidArgument(f"compare: container {name}: its recording has not two samples")

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        first, second = map(_summary, self._recordings, self._frames)
        a, b = self.names
        return [{"measure": name, a: first[name], b: second[name], "change": _change(first[name], second[name])}
                for name in first]  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """A row per measure; ``change`` is the second's over the first's, in per cent."""
        return self._rows

    def _shown(self) -> list[dict[str, str]]:
        return [
            {**shown, "change": "" if row["change"] is None else f"{row['change']:+.0f} %"}
            for shown, row in zip(super()._shown(), self._rows, strict=True)
        ]

    def plot(self, ax: Any = None) -> Any:
        """CPU over memory, the two on top of each other, each from its beginning; as ``Recordings.plot``."""
        return plots.overlay(list(zip(self.names, self._frames, strict=True)), ax)


def _summary(recording: Recording, frame: pandas.DataFrame) -> dict[str, float]:
    """Of counters, the difference of the last sample and the first; a row of ``frame`` is as long as its interval."""
    from numpy import average

    readings = recording._readings
    spans = [gauge.seconds(*pair) for pair in pairwise(readings)]
    first, last = readings[0], readings[-1]
    found = {"duration_seconds": sum(spans),
             "cpu_seconds": (last.sample.cpu_usage_ns - first.sample.cpu_usage_ns) / 1e9}  # fmt: skip
    for name in _LEVELS:
        values = frame[name].astype(float)
        found |= {f"{name} mean": float(average(values, weights=spans)), f"{name} max": float(values.max()),
                  f"{name} p95": float(values.quantile(0.95))}  # fmt: skip
    found |= {name: float(getattr(last.sample, name) - getattr(first.sample, name)) for name in _COUNTERS}
    return found | {
        "net_rx_bytes": float(last.received - first.received),
        "net_tx_bytes": float(last.sent - first.sent),
    }


def _change(before: float, after: float) -> float | None:
    return 100 * (after / before - 1) if before else None


class ImageComparison(_Comparison):
    """Two images: sizes, the layers that they share, the files that differ, and what their configs say.

    Args:
        changes: what the second one's files are of the first one's: added, changed, deleted.
    """

    def __init__(self, a: Image, b: Image) -> None:
        self.images = (a, b)
        self.names = _named(*(one.tags[0] if one.tags else one.short_id for one in (a, b)))
        # From the lowest one up: what stands on another layer is kept apart, though its content is the same.
        pairs = takewhile(lambda pair: pair[0] == pair[1], zip(a.layers, b.layers, strict=False))
        self.shared = tuple(mine for mine, _ in pairs)

    @cached_property
    def changes(self) -> list[Change]:
        """What the second one changes of the first one's files, sorted by path."""
        return self.images[0].diff(self.images[1])

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        a, b = self.names
        counted = Counter(change.kind for change in self.changes)
        common = self._shared_bytes()
        pairs = [("size_bytes", *(one.size for one in self.images)), ("layers", *(len(i.layers) for i in self.images)),
                 ("shared layers", *(len(self.shared),) * 2), ("shared bytes", common, common)]  # fmt: skip
        pairs += [(f"files {kind}", None, counted[kind]) for kind in ("added", "changed", "deleted")]
        return [{"measure": name, a: first, b: second} for name, first, second in (*pairs, *self._configs())]

    def _shared_bytes(self) -> int:
        details = self.images[0].layer_details()
        return sum(one.size for one in details[: len(self.shared)])

    def _configs(self) -> list[tuple[str, Any, Any]]:
        """What differs."""
        a, b = (one.config for one in self.images)
        pairs = [(f"config {one.name}", *_apart(getattr(a, one.name), getattr(b, one.name))) for one in fields(a)]
        return [pair for pair in pairs if pair[1] != pair[2]]

    def rows(self) -> list[dict[str, Any]]:
        """A row per measure, and per member of the config that differs."""
        return self._rows

    def plot(self, ax: Any = None) -> Any:
        """A bar for each: the bytes of layers that they share, and of its own; returns the matplotlib Axes."""
        common = self._shared_bytes()
        own = [sum(one.size for one in image.layer_details()[len(self.shared) :]) for image in self.images]
        parts = [("shared layers", [common] * 2, "tab:gray"), ("its own layers", own, "tab:blue")]
        return plots.bars(self.names, parts, "sizes of layers", ax)


def _apart(a: Any, b: Any) -> tuple[str, str]:
    """Two members of configs, as text; of mappings, and of variables, only what differs."""
    mine, theirs = _entries(a), _entries(b)
    if mine is None and theirs is None:
        return _text(a), _text(b)
    mine, theirs = mine or set(), theirs or set()
    return "\n".join(sorted(mine - theirs)), "\n".join(sorted(theirs - mine))


def _entries(member: Any) -> set[str] | None:
    """``name=value`` of each; None where the order matters."""
    if isinstance(member, Mapping):
        return {f"{name}={value}" for name, value in member.items()}
    return set(member) if isinstance(member, tuple) and all("=" in word for word in member) else None


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value or "")
