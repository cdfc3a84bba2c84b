"""Builds, as an ordinary user: scenarios of :mod:`tests.rootless.scenarios`."""

from __future__ import annotations

from pathlib import Path

from containerkit import Engine, Image

SCENARIOS = ("built", "built_with_mounts")

TEXT = """\
FROM busybox AS base
WORKDIR /srv/app
COPY --chown={owner} page.html run /srv/
RUN --network=none echo $(id -u) $(stat -c %u:%g /srv/page.html) > /who
FROM base
COPY --from=base /who /who2
USER {owner}
RUN --network=none id -u > /tmp/me
CMD ["cat", "/who", "/who2", "/tmp/me"]
"""


def built(engine: Engine, here: Path, users: int) -> None:
    """Files, commands and owners; the second time from the cache."""
    owner = "12:13" if users > 1 else "0:0"
    context = {"page.html": "<h1>It works</h1>\n", "run": "#!/bin/sh\n"}
    text = TEXT.format(owner=owner)
    image = Image.from_dockerfile(text, context=context, tag="made", engine=engine, progress=None)
    uid = owner.partition(":")[0]
    found = image.call(network="none")
    assert found.stdout.split() == ["0", owner, "0", owner, uid], found
    again = Image.from_dockerfile(text, context=context, engine=engine, progress=None, tag="made")
    assert [step.outcome for step in again.explain() if step.outcome != "config"] == ["hit"] * 5
    assert again.id == image.id
    image.remove(force=True)
    engine.build_cache.prune()


def built_with_mounts(engine: Engine, here: Path, users: int) -> None:
    """Secrets, caches, files of the context, memory: what is mounted leaves nothing."""
    text = """\
FROM busybox
RUN --network=none --mount=type=secret,id=key wc -c < /run/secrets/key > /n
RUN --network=none --mount=type=cache,target=/cache echo x >> /cache/f; wc -l < /cache/f >> /n
RUN --network=none --mount=type=bind,target=/ctx cat /ctx/page >> /n
RUN --network=none --mount=type=tmpfs,target=/t touch /t/x
"""
    image = Image.from_dockerfile(
        text, context={"page": "it\n"}, secrets={"key": b"hush"}, engine=engine, progress=None
    )
    assert image.call("cat /n", network="none").stdout.split() == ["4", "1", "it"]
    assert image.call("ls /cache /ctx /t", network="none").exit_code
    image.remove()
    engine.build_cache.prune(mounts=True)
