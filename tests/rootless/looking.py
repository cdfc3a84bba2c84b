"""X-rays and walks through starts, as an ordinary user: scenarios of :mod:`tests.rootless.scenarios`."""

from __future__ import annotations

import os
from pathlib import Path

from containerkit import Engine

SCENARIOS = ("xrayed", "stepped")


def xrayed(engine: Engine, here: Path, users: int) -> None:
    """What a user may read is there; what is not says why."""
    with (
        engine.run("busybox", "sleep 60", name="db", stop_timeout=0) as db,
        engine.run("busybox", "sleep 60", name="web", network="container:db", stop_timeout=0) as web,
    ):
        seen = web.xray()
        found = {one.type: str(one) for one in seen.namespaces}
        assert found["mount"] == "own" and found["network"] == "shared with db" and found["time"] == "host's", found
        assert found["user"] == "shared with db", found
        ids = next(one for one in seen.ids if one.kind == "uid")
        assert (ids.inside, ids.outside) == (0, os.getuid()), ids
        assert len(seen.layers) == 2 and len(seen.capabilities.bounding) == 14 and seen.seccomp.mode == "filter", seen
        assert [one.name for one in seen.network] == ["lo", "eth0"] and seen.network[1].addresses, seen.network
        assert [one.command for one in seen.processes] == ["sleep 60"] and seen.mounts[0].target == "/"
        assert ("cgroups" in seen.missing) is (not web._spec().linux.cgroups_path), seen.missing
        assert "shared with db" in seen._repr_html_()
        assert db.stop().xray().missing["mounts"] == "gone: it has ended"


def stepped(engine: Engine, here: Path, users: int) -> None:
    """Operation by operation, with a network and without; given up half-way, nothing is left."""
    for options in ({}, {"network": "none"}, {"user": "33", "network": "none"} if users > 1 else {}):
        with engine.step("busybox", "sleep 60", name="box", hostname="box", stop_timeout=0, **options) as walk:  # type: ignore[arg-type]  # of these
            pivot = next(one for one in walk if one.step.operation == "PivotRoot")
            changed = {one.what: one.after for one in pivot.changes if one.side == "inside"}
            assert "bin" in changed["/"].split(), changed
            walk.run(timeout=30)
            assert walk.container.exec("hostname").stdout == "box\n" and walk.world.outside["program"] == "sleep 60"
    half = engine.step("busybox", "sleep 60", name="half")
    half.run(until="SetHostname")
    half.close()
    assert not engine.containers.rows(all=True)
