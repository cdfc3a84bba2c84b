"""A container's x-ray as HTML: a panel per part, side by side. No scripts; colours work on light and dark pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from containerkit.values import frozen
from containerkit.views import html, text

Rows = Sequence[Mapping[str, Any]]
_MONO = "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.5"
_CUT = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
_EDGE = "border:1px solid rgba(128,128,128,.4);border-radius:6px"
#: Fill and edge of a chip.
_OWN, _SHARED, _HOST = ("rgba(46,160,67,.22)", "#2ea043"), ("rgba(47,127,209,.22)", "#2f7fd1"), ("none", "#888")
_DENIED = ("rgba(201,79,79,.22)", "#c94f4f")
_WIDTHS = {"cgroups": "100%", "network": "480px", "mounts": "100%", "processes": "100%"}
_WHOSE = {"own": _OWN, "shared": _SHARED, "host": _HOST}


@frozen
class Head:
    """Whose x-ray it is."""

    name: str
    status: str
    image: str


def picture(head: Head, parts: Mapping[str, Rows], missing: Mapping[str, str]) -> str:
    """All parts that are there; the others with the reason.

    Args:
        parts: part → rows, as ``XRay.rows`` gives them; those of ``cgroups`` with ``amounts`` in words, and the
            ``part`` of the limit that is used.
    """
    title = f"<b>{escape(head.name)}</b> {html.badge(head.status)} <span>{escape(head.image)}</span>"
    panels = "".join(
        _panel(draw(parts[name]), name, _WIDTHS.get(name, "300px")) for name, draw in _DRAWN.items() if parts.get(name)
    )
    flow = "display:flex;flex-wrap:wrap;gap:10px;align-items:stretch;max-width:1100px;margin-top:6px"
    return f'<div {html.PLAIN}>{title}<div style="{flow}">{panels}</div>{"".join(_absent(missing))}</div>'


def _absent(missing: Mapping[str, str]) -> Iterator[str]:
    for why in dict.fromkeys(missing.values()):
        names = ", ".join(name for name, reason in missing.items() if reason == why)
        yield f'<div style="margin-top:6px">{html.note(f"{names}: {why}")}</div>'


def _panel(body: tuple[str, str], name: str, basis: str) -> str:
    note, inside = body
    return (
        f'<div style="{_EDGE};padding:8px 10px;flex:1 1 {basis};min-width:0;box-sizing:border-box;overflow-x:auto">'
        f'<div style="margin-bottom:6px"><b>{escape(name)}</b> <span style="opacity:.7">{escape(note)}</span></div>'
        f"{inside}</div>"
    )


def _chip(words: str, colours: tuple[str, str], more: str = "") -> str:
    fill, edge = colours
    return (
        f'<span style="display:inline-block;margin:2px;padding:0 6px;border-radius:4px;background:{fill};'
        f'border:1px solid {edge};{_MONO};{more}">{escape(words)}</span>'
    )


def _grid(columns: str, cells: Sequence[str]) -> str:
    body = "".join(f'<span style="{_CUT}">{cell}</span>' for cell in cells)
    style = f"display:grid;grid-template-columns:{columns};column-gap:12px;align-items:center;{_MONO}"
    return f'<div style="{style}">{body}</div>'


def _faint(words: object) -> str:
    return f'<span style="opacity:.65">{escape(str(words))}</span>'


def _bar(parts: Sequence[tuple[float, str]]) -> str:
    """A bar that is full; each part with its colour."""
    whole = sum(amount for amount, _ in parts) or 1
    inside = "".join(
        f'<div style="width:{100 * amount / whole:.1f}%;background:{colour}"></div>' for amount, colour in parts
    )
    return (
        '<div style="display:flex;height:10px;border-radius:3px;overflow:hidden;background:rgba(128,128,128,.25)">'
        f"{inside}</div>"
    )


# -- parts -------------------------------------------------------------------------------------------------------------


def _namespaces(rows: Rows) -> tuple[str, str]:
    cells = []
    for row in rows:
        whose = row["whose"]
        words = {"own": "own", "host": "host's"}.get(whose, f"shared with {', '.join(row['shared_with'])}")
        cells += [escape(row["type"]), _chip(words, _WHOSE[whose]), _faint(row["inode"])]
    own = sum(row["whose"] == "own" for row in rows)
    return f"{own} of {len(rows)} its own", _grid("auto 1fr auto", cells)


def _cgroups(rows: Rows) -> tuple[str, str]:
    cells = []
    for row in rows:
        use = ", ".join(f"{_short(name)} {words}" for name, words in row["amounts"].items())
        limits = "".join(
            f"<div>{escape(name.partition('.')[2] or name)} = {escape(value)}</div>"
            for name, value in row["limits"].items()
        )
        part, version = row["part"], f" v{row['version']}"
        gauge = "" if part is None else _bar(((part, _SHARED[1]), (1 - part, "transparent")))
        cells += [
            f'<span title="{escape(row["path"])}">{escape(row["controller"])}{_faint(version)}</span>',
            escape(use) + gauge, limits or _faint("no limit"),
        ]  # fmt: skip
    place = rows[0]["path"].rpartition("/")[2]
    return f"/{place[:25]}…" if len(place) > 25 else f"/{place}", _grid("auto auto 1fr", cells)


def _short(name: str) -> str:
    return name.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")


def _layers(rows: Rows) -> tuple[str, str]:
    """The stack as it is seen: from above."""
    bars = []
    for row in reversed(rows):
        if row["writable"]:
            words, size, colours = "the container's own, writable", "", _OWN
        else:
            words, size = row["created_by"] or row["diff_id"][:19], text.size(row["size"] or 0)
            colours = _SHARED
        style = (
            f"display:flex;justify-content:space-between;gap:8px;background:{colours[0]};"
            f"border:1px solid {colours[1]};border-radius:4px;margin:3px 0;padding:2px 8px;{_MONO}"
        )
        bars.append(
            f'<div title="{escape(row["path"])}" style="{style}"><span style="{_CUT}">{escape(words)}</span>'
            f'<span style="white-space:nowrap">{escape(size)}</span></div>'
        )
    return f"{len(rows) - 1} of the image's, and its own above", "".join(bars)


def _capabilities(rows: Rows) -> tuple[str, str]:
    kept = [row for row in rows if row["bounding"]]
    chips = [_chip(_name(row), _OWN if row["effective"] else _HOST) for row in kept]
    chips += [
        _chip(_name(row), ("none", "transparent"), "opacity:.55;text-decoration:line-through")
        for row in rows
        if not row["bounding"]
    ]
    return f"{len(kept)} of {len(rows)} kept", f"<div>{''.join(chips)}</div>"


def _name(row: Mapping[str, Any]) -> str:
    return str(row["capability"]).removeprefix("CAP_").lower()


def _seccomp(rows: Rows) -> tuple[str, str]:
    (row,) = rows
    kinds = (("allowed", _OWN), ("conditional", _SHARED), ("denied", _DENIED))
    if not any(row[name] for name, _ in kinds):
        return row["mode"] or "", html.note("no profile: every system call is allowed")
    legend = "".join(_chip(f"{row[name]} {name}", colours) for name, colours in kinds)
    return row["mode"] or "", _bar([(row[name], colours[1]) for name, colours in kinds]) + f"<div>{legend}</div>"


def _network(rows: Rows) -> tuple[str, str]:
    lines = []
    for row in rows:
        addresses = ", ".join(row["addresses"]) or "no address"
        line = _chip(_end(row["name"], row["index"]), _OWN) + _faint(addresses)
        if row["peer"]:
            line += f" ━━ {_chip(_end(row['peer'], row['peer_index']), _SHARED)}"
        if row["bridge"]:
            line += f" ━━ {_chip(row['bridge'], _HOST)}{_faint('bridge')}"
        if row["network"]:
            line += _faint(f" of {row['network']}")
        lines.append(f'<div style="{_MONO}">{line}</div>')
    return f"{len(rows)} links" if len(rows) > 1 else "1 link", "".join(lines)


def _end(name: str, index: int | None) -> str:
    return name if index is None else f"{name} #{index}"


def _ids(rows: Rows) -> tuple[str, str]:
    if all(row["inside"] == row["outside"] == 0 and row["size"] == 0xFFFFFFFF for row in rows):
        return "", html.note("as on this machine: root inside is root here, with less rights")
    cells = []
    for row in rows:
        last = row["size"] - 1
        cells += [
            escape(row["kind"]), f"{row['inside']} – {row['inside'] + last}", "are here",
            f"{row['outside']} – {row['outside'] + last}",
        ]  # fmt: skip
    return "users and groups", _grid("auto auto auto 1fr", cells)


def _processes(rows: Rows) -> tuple[str, str]:
    head = [_faint(words) for words in ("pid inside", "pid here", "user here", "command")]
    cells = [
        escape(str(cell)) for row in rows for cell in (row["container_pid"], row["pid"], row["user"], row["command"])
    ]
    return str(len(rows)), _grid("auto auto auto 1fr", [*head, *cells])


def _mounts(rows: Rows) -> tuple[str, str]:
    cells = []
    for row in rows:
        mark = _chip("read-only", _HOST) if row["read_only"] else ""
        cells += [escape(row["target"]), escape(row["what"]), _faint(row["type"]), mark]
    return str(len(rows)), _grid("auto auto auto 1fr", cells)


_DRAWN: dict[str, Callable[[Rows], tuple[str, str]]] = {
    "namespaces": _namespaces, "layers": _layers, "capabilities": _capabilities, "cgroups": _cgroups,
    "network": _network, "seccomp": _seccomp, "ids": _ids, "processes": _processes, "mounts": _mounts,
}  # fmt: skip
