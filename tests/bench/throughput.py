"""N1–N3: bytes a second between containers, and from the host to one, by iperf3, ours beside docker's."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path

from containerkit import Image
from tests.bench.ours import Ours
from tests.bench.peers import HOST, Docker, Peer

_SECONDS = "2"
_RUNS = 5
_PORT = "18201"
TITLES = {
    "N1": "container to container, one bridge",
    "N2": "host to container, by its address",
    "N3": "host to container, by a published port at 127.0.0.1",
}


def measure(ours: Ours, peers: list[Peer], scratch: Path) -> None:
    """Measure in turns, and print."""
    docker = next((peer for peer in peers if isinstance(peer, Docker)), None)
    image = Image.from_host("iperf3", "sleep", tag="iperf", engine=ours.engine)
    box = image.create("sleep 1")
    box.export(scratch / "iperf.tar")
    box.remove()
    sides: list[_Side] = [_Ours(ours)]
    if docker is not None:
        docker.call("import", str(scratch / "iperf.tar"), "iperf")
        sides.append(_Docker(docker))
    try:
        for figure, title in TITLES.items():
            rates: dict[str, list[float]] = {side.name: [] for side in sides}
            for _ in range(_RUNS):
                for side in sides:
                    rates[side.name].append(side.rate(figure))
            print(f"\n{figure}  {title}  ({_RUNS} runs of {_SECONDS} s each)")
            mine = statistics.median(rates[sides[0].name])
            for name, values in rates.items():
                middle = statistics.median(values)
                ratio = "" if name == sides[0].name else f"   ours {mine / middle:6.2f} ×"
                print(f"  {name:14} {middle:9.2f} Gbit/s  [{min(values):.2f} … {max(values):.2f}]{ratio}")
    finally:
        for side in sides:
            side.close()


class _Side:
    """A server that listens, a client beside it, and this host."""

    name = ""
    address = ""

    def host(self) -> list[str]:
        """How a command begins that is run on the side's host."""
        raise NotImplementedError

    def in_client(self, words: list[str]) -> str:
        """What a command prints in the client container."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def rate(self, figure: str) -> float:
        """Gbit/s."""
        target, port = (self.address, "5201") if figure != "N3" else ("127.0.0.1", _PORT)
        words = ["iperf3", "-c", target, "-p", port, "-t", _SECONDS, "-J"]
        if figure == "N1":
            text = self.in_client(words)
        else:
            text = subprocess.run([*self.host(), *words], check=True, capture_output=True, text=True).stdout
        time.sleep(0.2)  # the server takes one after the other
        return float(json.loads(text)["end"]["sum_received"]["bits_per_second"]) / 1e9


class _Ours(_Side):
    name = "containerkit"

    def __init__(self, ours: Ours) -> None:
        self._server = ours.engine.run("iperf", "iperf3 -s", ports={5201: int(_PORT)})
        self._client = ours.engine.run("iperf", "sleep 3600")
        self.address = self._server.ip_address or ""

    def host(self) -> list[str]:
        return []

    def in_client(self, words: list[str]) -> str:
        return self._client.exec(words, check=True).stdout

    def close(self) -> None:
        for container in (self._server, self._client):
            container.remove(force=True)


class _Docker(_Side):
    name = "docker"

    def __init__(self, peer: Docker) -> None:
        self._peer = peer
        self._server = peer.call("run", "-d", "-p", f"{_PORT}:5201", "iperf", "iperf3", "-s").strip()
        self._client = peer.call("run", "-d", "iperf", "sleep", "3600").strip()
        form = "{{.NetworkSettings.IPAddress}}"
        self.address = peer.call("inspect", "-f", form, self._server).strip()

    def host(self) -> list[str]:
        return list(HOST)

    def in_client(self, words: list[str]) -> str:
        return self._peer.call("exec", self._client, *words)

    def close(self) -> None:
        self._peer.call("rm", "-f", self._server, self._client)
