"""The picture of networks: what is in it, that it is stable, and that no name breaks out of it."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ElementTree

import pandas
import pytest

from containerkit.views import plots
from containerkit.views.network import MOST_CONTAINERS, MOST_NETWORKS, Net, Node, in_order, picture

SVG = "{http://www.w3.org/2000/svg}"
FRONT = Net("front", "bridge · 10.1.0.0/24 · this machine is 10.1.0.1")
BACK = Net("back", "bridge · 10.2.0.0/24 · internal: no way out", is_closed=True)
WEB = Node("web", "running", (("front", "10.1.0.2"), ("back", "10.2.0.2")), ("8080 → 80/tcp",))
DB = Node("db", "exited", (("back", ""),))


def words(svg: str) -> list[str]:
    """The texts of a picture, in their order."""
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_names_addresses_status_and_ports_are_in_it() -> None:
    found = " ".join(words(picture([FRONT, BACK], [WEB, DB])))
    for text in ("outside", "this machine", "front", "10.1.0.0/24", "web", "running", "10.1.0.2", "10.2.0.2",
                 "8080 → 80/tcp", "db", "exited", "no address now"):  # fmt: skip
        assert text in found


def test_the_same_networks_give_the_same_text_in_whatever_order_containers_come() -> None:
    nodes = [Node(f"web-{number}", "running", (("front", f"10.1.0.{number}"),)) for number in range(40)]
    first = picture([FRONT], nodes)
    for _ in range(5):
        random.shuffle(nodes)
        assert picture([FRONT], nodes) == first


def test_a_container_has_a_dot_on_every_network_that_it_is_on() -> None:
    dots = [one.attrib for one in ElementTree.fromstring(picture([FRONT, BACK], [WEB])).iter(f"{SVG}circle")]
    assert len([one for one in dots if one["r"] == "4.5"]) == 2


def test_names_are_in_the_order_of_their_numbers_and_who_joins_comes_after_whom_it_joins() -> None:
    nodes = [Node("web-10", "running"), Node("a-helper", "running", joins="web-2"), Node("web-2", "running"),
             Node("lost", "exited", joins="removed"), Node("9" * 5000, "running")]  # fmt: skip
    names = [node.name for node in in_order(nodes)]
    assert names == ["9" * 5000, "lost", "web-2", "a-helper", "web-10"]


HOSTILE = [
    "<script>alert(1)</script>", '"><svg onload="x">', "a\0b\x1b[31m\ud800", "]]>&lt;&#x41;", "\u202egnp.exe",
    "x" * 5000, "網" * 300, "", "'\"`", "a\nb\u2028c",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    node = Node(name, name, ((name, name), ("front", name)), (name, name, name))
    joined = Node("guest", "running", joins=name)
    svg = picture([Net(name, name), FRONT], [node, joined], standalone=True)
    svg.encode("utf-8")
    kinds = {one.tag.removeprefix(SVG) for one in ElementTree.fromstring(svg).iter()}
    assert kinds <= {"svg", "style", "title", "text", "tspan", "rect", "circle", "path", "g"}
    assert not any(character in svg for character in "\x1b\0\u202e\u2028")
    assert len(svg) < 12_000 and max(map(len, words(svg))) < 130
    attributes = [key for one in ElementTree.fromstring(svg).iter() for key in one.attrib]
    assert not any(key.startswith("on") or "href" in key for key in attributes)


def test_hundreds_of_containers_wrap_into_columns_and_do_not_overlap() -> None:
    nodes = [Node(f"web-{number}", "running", (("front", f"10.1.{number // 250}.2"),)) for number in range(250)]
    svg = picture([FRONT], nodes)
    cards = [one.attrib for one in ElementTree.fromstring(svg).iter(f"{SVG}rect") if one.attrib["rx"] == "6"]
    boxes = [tuple(float(one[name]) for name in ("x", "y", "width", "height")) for one in cards]
    assert len(boxes) == 250 and len({x for x, *_ in boxes}) == 3
    for place, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, *_ in boxes[:place]:
            assert abs(x - other_x) >= width or abs(y - other_y) >= height
    root = ElementTree.fromstring(svg).attrib
    assert max(x + width for x, _, width, _ in boxes) < float(root["width"]) < 1200
    assert max(y + height for _, y, _, height in boxes) < float(root["height"])


def test_what_is_too_much_is_counted() -> None:
    nets = [Net(f"net-{number}", "bridge") for number in range(MOST_NETWORKS + 2)]
    nodes = [Node(f"web-{number}", "running", (("net-0", "10.1.0.2"),)) for number in range(MOST_CONTAINERS + 1)]
    found = words(picture(nets, nodes))
    assert "… and 2 networks and 1 container more" in found
    assert sum(one.startswith("web-") for one in found) == MOST_CONTAINERS


def test_a_network_without_containers_and_no_network_at_all_can_be_drawn() -> None:
    assert "no containers" in words(picture([FRONT], []))
    assert "outside" in words(picture([], []))


def test_it_has_the_colours_of_its_page_and_alone_those_of_the_readers_theme() -> None:
    inline, alone = picture([FRONT], [WEB]), picture([FRONT], [WEB], standalone=True)
    assert "currentColor" in inline and "<style" not in inline
    assert "prefers-color-scheme:dark" in alone and alone.startswith("<svg xmlns=")


def test_a_port_of_many_is_shown_and_the_others_are_counted() -> None:
    ports = tuple(f"{8000 + number} → 80/tcp" for number in range(5))
    found = words(picture([FRONT], [Node("web", "running", (("front", "10.1.0.2"),), ports)]))
    assert "8000 → 80/tcp" in found and "and 4 more" in found


# -- traffic -----------------------------------------------------------------------------------------------------------


def frame(received: list[int], seconds: float = 0.5) -> pandas.DataFrame:
    times = pandas.to_datetime([1_700_000_000 + seconds * place for place in range(len(received))], unit="s", utc=True)
    return pandas.DataFrame({"net_rx_bytes": received, "net_tx_bytes": [0] * len(received)}, index=times)


def test_traffic_is_drawn_in_bytes_a_second_in_the_unit_that_fits() -> None:
    import matplotlib

    matplotlib.use("agg")
    axes = plots.traffic(frame([0, 0, 5 << 20, 5 << 20]), "web")
    assert axes.get_ylabel() == "MiB/s" and axes.get_title() == "web"
    received = next(line for line in axes.get_lines() if line.get_label() == "received")
    assert list(received.get_ydata()) == [0, 10, 0] and list(received.get_xdata()) == [0.5, 1.0, 1.5]


@pytest.mark.parametrize("samples", [[], [7], [7, 7]])
def test_no_traffic_can_be_drawn(samples: list[int]) -> None:
    import matplotlib

    matplotlib.use("agg")
    assert plots.traffic(frame(samples), "web").get_ylabel() == "B/s"
