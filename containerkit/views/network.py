"""Networks as a picture: SVG of plain values, without scripts, ids, or anything that depends on when it is drawn.

Each network is a line that comes down from its name; each container is a card to its right, with a dot on the line of
every network that it is on. What leads in from outside ends at the card's right side. Lines, colours and columns follow
from the order of what is given; text has the colour of the page that the picture is on::

    outside
      ├──┬ front  10.1.0.0/24 …
      └──│─┬ back  10.2.0.0/24 …
         ●─│──[ web    running ]◀── 8080 → 80/tcp
         ●─●──[ db     running ]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from unicodedata import east_asian_width

from containerkit.values import frozen
from containerkit.views import text

#: Of lines: they are to be told apart on white and on black.
_COLOURS = ("#2f7fd1", "#d9822b", "#3c9d5b", "#b05cc6", "#c94f4f", "#1f9d9d", "#9a8a1f", "#7d7d8c")
_STATUS = {"running": "#3c9d5b", "paused": "#d9822b", "restarting": "#2f7fd1", "dead": "#c94f4f"}
_PORT = "#d6457a"
#: The most networks and containers that are drawn; the others are counted.
MOST_NETWORKS, MOST_CONTAINERS = 16, 300
#: Of a container's addresses, and of its ports, as many are shown.
_LINES = 2

_FONT = "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace)"
_ADVANCE = 6.7  # the width of a character at 11 px
_UPLINK, _FIRST_LANE, _LANE = 24, 50, 16  # where the line outside is, the first network's, and how far apart these are
_FRAME, _HEAD, _NAME, _TRACK = 36, 76, 22, 7  # heights: the frame's top, the first name, between names and tracks
_CARD, _HEIGHT, _GAP = 250, 42, 12  # a card's width and height, and the space below
_ARROW = 44
_PEN = 'stroke="currentColor"'


@frozen
class Net:
    """A network; ``note`` is what is said beside its name, ``is_closed``: nothing leads out of it."""

    name: str
    note: str = ""
    is_closed: bool = False


@frozen
class Node:
    """A container.

    Args:
        addresses: (network, address) of each network it is on; the address is empty where it has none now.
        ports: where it is reached from outside, as ``8080 → 80/tcp``.
        joins: the container whose network is its own, too.
    """

    name: str
    status: str
    addresses: tuple[tuple[str, str], ...] = ()
    ports: tuple[str, ...] = ()
    joins: str = ""


def picture(nets: Sequence[Net], nodes: Sequence[Node], *, standalone: bool = False) -> str:
    """The networks and their containers.

    Args:
        nets: in the order of their lines.
        nodes: in any order.
        standalone: a file of its own, which follows its reader's choice of a light or a dark theme.
    """
    return _Drawing(nets, nodes).svg(standalone)


class _Drawing:
    def __init__(self, nets: Sequence[Net], nodes: Sequence[Node]) -> None:
        self.nets, self.nodes = nets[:MOST_NETWORKS], in_order(nodes)[:MOST_CONTAINERS]
        self.title = f"{count(len(nets), 'network')}, {count(len(nodes), 'container')}"
        self.folded = _folded(len(nets) - len(self.nets), len(nodes) - len(self.nodes))
        self.lanes = {net.name: place for place, net in enumerate(self.nets)}
        number = len(self.nodes)
        self.columns = 1 if number <= 8 else 2 if number <= 24 else 3
        self.rows = max(-(-number // self.columns), 1)
        self.ports = max((_width(port) * _ADVANCE for node in self.nodes for port in _ports(node)), default=0.0)
        # From one column's first line to the next one's.
        self.step = self.card(0) + _CARD + (_ARROW + self.ports if self.ports else 0) + 28 - _FIRST_LANE
        tracks = _TRACK * len(self.nets) if self.columns > 1 else 0
        self.first = _HEAD + _NAME * len(self.nets) + tracks
        self.bottom = self.first + self.rows * (_HEIGHT + _GAP) + (18 if self.folded else 0)
        labels = max((_width(_name(net) + _note(net)) for net in self.nets), default=0) + 4
        cards = self.card(self.columns - 1) + _CARD + 14
        if self.columns > 1 and self.ports:
            cards += _ARROW + self.ports
        self.wall = max(cards, _FIRST_LANE + _LANE * len(self.nets) + labels * _ADVANCE, 320)
        self.width = self.wall + (_ARROW + self.ports if self.ports and self.columns == 1 else 0) + 8

    def lane(self, place: int, column: int) -> float:
        return _FIRST_LANE + _LANE * place + (self.step * column if column else 0)

    def card(self, column: int) -> float:
        return self.lane(max(len(self.nets), 1), column) + 6

    def head(self, place: int) -> float:
        return _HEAD + _NAME * place

    def svg(self, standalone: bool) -> str:
        body = "".join((*self._frame(), *self._outside(), *self._networks(), *self._containers()))
        theme = "svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}" height="{self.bottom + 8:g}" '
            f'viewBox="0 0 {self.width:g} {self.bottom + 8:g}" role="img" style="{_FONT}" font-size="11" '
            f'fill="currentColor">{f"<style>{theme}</style>" if standalone else ""}'
            f"<title>{escape(self.title)}</title>{body}</svg>"
        )

    def _frame(self) -> Iterator[str]:
        yield (
            f'<rect x="8" y="{_FRAME}" width="{self.wall - 8:g}" height="{self.bottom - _FRAME:g}" rx="10" '
            f'fill="currentColor" fill-opacity="0.03" {_PEN} stroke-opacity="0.4" stroke-dasharray="5 4"/>'
        )
        yield _words(_UPLINK + 12, _FRAME + 18, "this machine", opacity=0.7)
        if self.folded:
            yield _words(self.card(0), self.bottom - 10, self.folded, opacity=0.8)

    def _outside(self) -> Iterator[str]:
        yield f'<rect x="8" y="4" width="66" height="20" rx="10" fill="none" {_PEN} stroke-opacity="0.6"/>'
        yield _words(18, 18, "outside")
        ways = [place for place, net in enumerate(self.nets) if not net.is_closed]
        path = [f"M{_UPLINK} 24V{self.head(ways[-1]) - 4:g}" if ways else f"M{_UPLINK} 24V{_FRAME + 14}"]
        path += [f"M{_UPLINK} {self.head(place) - 4:g}H{self.lane(place, 0) - 6:g}" for place in ways]
        yield f'<path d="{"".join(path)}" fill="none" {_PEN} stroke-opacity="0.55" stroke-dasharray="2 3"/>'

    def _networks(self) -> Iterator[str]:
        for place, net in enumerate(self.nets):
            x, y, colour = self.lane(place, 0), self.head(place), _colour(place)
            last = {column: self._last(net.name, column) for column in range(self.columns)}
            path = [f"M{x:g} {y - 4:g}V{max(last[0], self._track(place) if self.columns > 1 else 0, y + 8):g}"]
            ends = [column for column, end in last.items() if column and end]
            if ends:
                path.append(f"M{x:g} {self._track(place):g}H{self.lane(place, ends[-1]):g}")
            path += [f"M{self.lane(place, column):g} {self._track(place):g}V{last[column]:g}" for column in ends]
            yield f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="2"/>'
            yield f'<rect x="{x - 5:g}" y="{y - 9:g}" width="10" height="10" rx="3" fill="{colour}"/>'
            yield (
                f'<text x="{x + 12:g}" y="{y:g}"><tspan font-weight="bold" font-size="12">{escape(_name(net))}</tspan>'
                f'<tspan dx="10" opacity="0.8">{escape(_note(net))}</tspan></text>'
            )

    def _track(self, place: int) -> float:
        """The height at which a network goes on to the other columns: so its lines do not cross those there."""
        return self.head(len(self.nets)) - 8 + _TRACK * (len(self.nets) - 1 - place)

    def _last(self, name: str, column: int) -> float:
        """How far down a network's line goes in a column; 0 when nobody is on it there."""
        for row in range(self.rows - 1, -1, -1):
            place = column * self.rows + row
            if place < len(self.nodes) and any(net == name for net, _ in self.nodes[place].addresses):
                return self._middle(row)
        return 0.0

    def _middle(self, row: int) -> float:
        return self.first + row * (_HEIGHT + _GAP) + _HEIGHT / 2

    def _containers(self) -> Iterator[str]:
        if not self.nodes:
            yield _words(self.card(0), self._middle(0) + 4, "no containers", opacity=0.7)
        for place, node in enumerate(self.nodes):
            column, row = divmod(place, self.rows)
            before = self.nodes[place - 1] if row else None
            yield from self._container(node, self.card(column), self._middle(row), column, before)

    def _container(self, node: Node, x: float, y: float, column: int, before: Node | None) -> Iterator[str]:
        on = sorted({self.lanes[net] for net, _ in node.addresses if net in self.lanes})
        if on:
            start = self.lane(on[0], column)
            yield f'<path d="M{start:g} {y:g}H{x:g}" {_PEN} stroke-opacity="0.5" stroke-width="1.5"/>'
        for place in on:
            yield f'<circle cx="{self.lane(place, column):g}" cy="{y:g}" r="4.5" fill="{_colour(place)}"/>'
        if node.joins and before is not None and node.joins in (before.name, before.joins):
            top = y - _HEIGHT / 2
            yield f'<path d="M{x + 14:g} {top - _GAP:g}V{top:g}" {_PEN} stroke-width="2"/>'
        yield from _card(node, x, y, self.lanes)
        yield from self._arrows(node, x + _CARD, y)

    def _arrows(self, node: Node, x: float, y: float) -> Iterator[str]:
        labels = _ports(node)
        end = self.wall + _ARROW - 10 if self.columns == 1 else x + _ARROW - 6
        for place, label in enumerate(labels):
            at = y + (0 if len(labels) == 1 else 18 * place - 9)
            yield (
                f'<path d="M{end:g} {at:g}H{x + 8:g}" stroke="{_PORT}" stroke-width="1.5"/>'
                f'<path d="M{x + 2:g} {at:g}l8 -4v8z" fill="{_PORT}"/>'
            )
            yield _words(end + 5, at + 4, label)


def _card(node: Node, x: float, y: float, lanes: Mapping[str, int]) -> Iterator[str]:
    top = y - _HEIGHT / 2
    hint = "\n".join([f"{text.plain(node.name, 200)}: {text.plain(node.status)}", *(p for _, p in _addresses(node))])
    yield (
        f'<g><title>{escape(hint)}</title><rect x="{x:g}" y="{top:g}" width="{_CARD}" height="{_HEIGHT}" rx="6" '
        f'fill="currentColor" fill-opacity="0.05" {_PEN} stroke-opacity="0.45"/>'
    )
    colour = _STATUS.get(node.status, "#7d7d8c")
    yield f'<circle cx="{x + 14:g}" cy="{top + 14:g}" r="4" fill="{colour}"/>'
    status = _fit(node.status, 12)
    yield _words(x + 24, top + 18, _fit(node.name, 29 - _width(status)), bold=True)
    yield _words(x + _CARD - 10, top + 18, status, opacity=0.75, end=True)
    second: list[str] = []
    for net, words in _addresses(node)[:_LINES]:
        style = f'fill="{_colour(lanes[net])}"' if net in lanes else 'opacity="0.75"'
        second.append(f'<tspan {style} dx="{10 if second else 0}">{escape(words)}</tspan>')
    if len(node.addresses) > _LINES:
        second.append(f'<tspan dx="8" opacity="0.75">+{len(node.addresses) - _LINES}</tspan>')
    yield f'<text x="{x + 24:g}" y="{top + 34:g}">{"".join(second)}</text></g>'


def _addresses(node: Node) -> list[tuple[str, str]]:
    """(network, words) for a card's second line; without a network where the words are no address."""
    if node.joins:
        return [("", f"in the network of {_fit(node.joins, 15)}")]
    found = [(net, _fit(address, 31 if len(node.addresses) == 1 else 15)) for net, address in node.addresses if address]
    if found:
        return found
    return [("", "no address now" if node.addresses else "no network")]


def _ports(node: Node) -> list[str]:
    """What is said of its ports; of many, how many more there are."""
    if len(node.ports) <= _LINES:
        return [_fit(port, 34) for port in node.ports]
    return [_fit(node.ports[0], 34), f"and {len(node.ports) - 1} more"]


def in_order(nodes: Sequence[Node]) -> list[Node]:
    """By name, numbers in names by their size; those that join one come after it."""
    by_name = sorted(nodes, key=lambda node: (_natural(node.name), node.name))
    hosts = {node.name for node in nodes if not node.joins}
    guests: dict[str, list[Node]] = {}
    for node in by_name:
        guests.setdefault(node.joins, []).append(node)
    return [one for node in by_name if node.joins not in hosts for one in (node, *_guests(node, guests))]


def _guests(node: Node, guests: dict[str, list[Node]]) -> list[Node]:
    return guests.get(node.name, []) if not node.joins else []


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(int(part[:18]), "") if place % 2 else (-1, part) for place, part in enumerate(parts)]


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def count(number: int, noun: str) -> str:
    """``1 network``, ``2 networks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _folded(nets: int, nodes: int) -> str:
    more = [count(number, noun) for number, noun in ((nets, "network"), (nodes, "container")) if number]
    return f"… and {' and '.join(more)} more" if more else ""


def _name(net: Net) -> str:
    return _fit(net.name, 24)


def _note(net: Net) -> str:
    return _fit(net.note, 80)


def _width(words: str) -> int:
    """How many places it takes."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in words)


def _fit(words: str, most: int) -> str:
    """A stranger's words, in so many places."""
    words = text.plain(words, 200)
    if _width(words) <= most:
        return words
    while words and _width(words) >= most:
        words = words[:-1]
    return f"{words}…"


def _words(x: float, y: float, words: str, *, bold: bool = False, opacity: float = 1.0, end: bool = False) -> str:
    style = ' font-weight="bold" font-size="12"' if bold else ""
    style += f' opacity="{opacity:g}"' if opacity != 1.0 else ""
    style += ' text-anchor="end"' if end else ""
    return f'<text x="{x:g}" y="{y:g}"{style}>{escape(words)}</text>'
