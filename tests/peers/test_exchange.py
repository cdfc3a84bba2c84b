"""Images that docker and skopeo have pushed are pulled here, run, and pushed back as they were; and the other way."""

from __future__ import annotations

import json
from pathlib import Path

from containerkit import Engine, Image
from tests import servers
from tests.peers.programs import Docker, needs, run


def digest_at(reference: str) -> str:
    """What the registry has under that name, as skopeo reads it."""
    found = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"))
    return str(found["Digest"])


@needs("dockerd", "docker.io")
def test_what_docker_has_pushed_is_pulled_run_and_pushed_back(
    docker: Docker, registry: servers.Registry, engine: Engine, busybox_tar: Path
) -> None:
    theirs, back = f"{registry.name}/theirs:1", f"{registry.name}/back:1"
    docker("import", "-c", 'CMD ["echo", "made by docker"]', busybox_tar, theirs)
    docker(
        "run", "--name", "layered", "--network", "none", theirs, "sh", "-c", "echo two >/two; rm /bin/vi; ln /two /2"
    )
    docker("commit", "-c", 'CMD ["cat", "/two"]', "layered", theirs)
    docker("rm", "layered")
    docker("push", theirs)
    pulled = Image.pull(theirs, engine=engine)
    assert pulled.id == docker.id(theirs) and len(pulled.layers) == 2
    assert pulled.call().stdout == "two\n" and not pulled.call(["ls", "/bin/vi"])
    pulled.push(back)
    # Docker's own media types, its own gzip: nothing is made anew.
    assert digest_at(back) == digest_at(theirs) == pulled.digest
    docker("rmi", theirs)
    docker("pull", back)
    assert docker.id(back) == pulled.id and docker("run", "--rm", "--network", "none", back) == "two\n"
    docker("rmi", back)


@needs("dockerd", "docker.io")
def test_docker_pulls_and_runs_what_we_have_committed(
    docker: Docker, registry: servers.Registry, engine: Engine, image: Image
) -> None:
    reference = f"{registry.name}/ours:1"
    with engine.create("busybox", ["sh", "-c", "echo ours >/note; rm /bin/vi; mkdir -p /a/b"]) as box:
        box.start().wait()
        made = box.commit(changes=['CMD ["sh", "-c", "cat /note; ls -d /bin/vi /a/b"]'])
    made.push(reference, compression="gzip")
    docker("pull", reference)
    assert docker.id(reference) == made.id
    said = docker("run", "--rm", "--network", "none", reference, "sh", "-c", "cat /note; ls -d /a/b; test ! -e /bin/vi")
    assert said == "ours\n/a/b\n"
    docker("rmi", reference)


@needs("skopeo", "skopeo")
def test_what_skopeo_has_copied_keeps_its_digest(
    registry: servers.Registry, engine: Engine, image: Image, elsewhere: Engine
) -> None:
    image.push(f"{registry.name}/first:1")
    words = ("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false")
    run(*words, f"docker://{registry.name}/first:1", f"docker://{registry.name}/copied:1")
    pulled = Image.pull(f"{registry.name}/copied:1", engine=elsewhere)
    assert pulled.digest == image.digest == digest_at(f"{registry.name}/copied:1")
    pulled.push(f"{registry.name}/again:1")
    assert digest_at(f"{registry.name}/again:1") == image.digest
