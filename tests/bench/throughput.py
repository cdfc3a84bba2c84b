"""N1: bytes a second between containers, and from the host to one, by iperf3, ours beside docker's."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

from containerkit import Image
from tests.bench.bench import Bench
from tests.bench.ours import Ours
from tests.bench.peers.docker import Docker
from tests.bench.peers.host import HOST
from tests.bench.samples import Measurement

_SECONDS = "2"
_RUNS = 5
_PORT = "18201"


def measure(bench: Bench) -> Iterator[Measurement]:
    """Each way, in turns."""
    image = Image.from_host("iperf3", "sleep", tag="iperf", engine=bench.ours.engine)
    sides: list[_Side] = [_Ours(bench.ours)]
    for peer in bench.peers:
        if isinstance(peer, Docker):
            box = image.create("sleep 1")
            box.export(bench.scratch / "iperf.tar")
            box.remove()
            peer.call("import", str(bench.scratch / "iperf.tar"), "iperf")
            sides.append(_Docker(peer))
    try:
        for id in ("N1", "N1-host", "N1-port"):
            rates: dict[str, list[float]] = {side.name: [] for side in sides}
            for _ in range(_RUNS):
                for side in sides:
                    rates[side.name].append(side.rate(id))
            yield bench.measurement(id, rates)
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

    def rate(self, id: str) -> float:
        """Gbit/s."""
        target, port = (self.address, "5201") if id != "N1-port" else ("127.0.0.1", _PORT)
        words = ["iperf3", "-c", target, "-p", port, "-t", _SECONDS, "-J"]
        if id == "N1":
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
