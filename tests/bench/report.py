"""Measurements as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tests.bench.figures import FIGURES
from tests.bench.history import Entry
from tests.bench.samples import Measurement, Samples


def details(one: Measurement) -> str:
    """A figure, a line for each side, and what was missing."""
    lines = [f"\n{one.figure.id}  {one.figure.title}, {one.figure.unit}   {judgement(one)}".rstrip()]
    lines += [f"  {'containerkit':18} {_samples(one.ours)}"]
    lines += [f"  {name:18} {_samples(some)}   {one.ratio(name):7.1f} ×" for name, some in one.others.items()]
    return "\n".join([*lines, *(f"  {name:18} missing" for name in one.missing)])


def summary(measured: Iterable[Measurement]) -> str:
    """A line for each figure."""
    lines = [f"\n{'':12} {'ours':>9} {'':12} {'goal':24} how many times as good as"]
    for one in measured:
        ratios = "  ".join(f"{name} {one.ratio(name):.1f}" for name in one.others)
        lines.append(
            f"{one.figure.id:12} {one.ours.median:9.4g} {one.figure.unit:12} {judgement(one):24} {ratios}".rstrip()
        )
    return "\n".join(lines)


def history(entries: Sequence[Entry], groups: Sequence[str]) -> str:
    """How each figure of the groups went: a line per run."""
    order = list(FIGURES)
    known = [entry for entry in entries if entry.measurement.figure.group in groups]
    known.sort(key=lambda entry: _place(order, entry.measurement.figure.id))
    lines = []
    for _, some in groupby(known, key=lambda entry: entry.measurement.figure.id):
        found = list(some)
        figure = found[-1].measurement.figure
        lines.append(f"\n{figure.id}  {figure.title}, {figure.unit}")
        for entry in found:
            one = entry.measurement
            ratios = "  ".join(f"{name} {one.ratio(name):.1f}" for name in one.others)
            lines.append(f"  {entry.run}\n    {_samples(one.ours)}   {judgement(one)}   {ratios}".rstrip())
    return "\n".join(lines)


def judgement(one: Measurement) -> str:
    """The goal, and whether it is met."""
    if one.figure.goal is None:
        return ""
    return f"{one.figure.goal}: {'not judged' if one.is_met is None else 'met' if one.is_met else 'MISSED'}"


def _samples(some: Samples) -> str:
    return f"{some.median:9.4g}   least {some.least:9.4g}   spread {some.spread:8.3g}   of {some.count}"


def _place(order: list[str], id: str) -> int:
    """Figures that are no longer measured are the last."""
    return order.index(id) if id in order else len(order)
