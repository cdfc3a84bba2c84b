"""Pull and push with Debian's docker-registry: plain, and behind nginx with TLS of a private CA and passwords."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from tests import servers, trees
from tests.peers.conftest import make_engine


def names(engine: Engine) -> list[str]:
    return sorted(tag for image in engine.images for tag in image.tags)


# -- without TLS -----------------------------------------------------------------------------------------------------


def test_what_is_pushed_here_runs_elsewhere(
    registry: servers.Registry, image: Image, engine: Engine, elsewhere: Engine
) -> None:
    reference = f"{registry.name}/team/app:1"
    assert image.push(reference) is image and reference in image.tags
    pulled = Image.pull(reference, engine=elsewhere)
    assert (pulled.id, pulled.digest, pulled.tags) == (image.id, image.digest, (reference,))
    assert pulled.digests == image.digests == (f"{registry.name}/team/app@{image.digest}",)
    assert pulled.call().stdout == "from afar\n"
    assert list(elsewhere.paths.downloads.iterdir()) == list(elsewhere.paths.tmp.iterdir()) == []
    # By digest, without a tag.
    pulled.remove()
    again = Image.pull(f"{registry.name}/team/app@{image.digest}", engine=elsewhere)
    assert again.tags == () and Image.get(image.digests[0], engine=elsewhere) == again
    assert again.inspect()["RepoDigests"] == list(image.digests)


def test_a_new_name_is_where_it_is_pushed_to(registry: servers.Registry, image: Image, engine: Engine) -> None:
    image.tag(f"{registry.name}/tagged:1").push()
    assert [one.name for one in engine.search(f"{registry.name}/tagged")] == [f"{registry.name}/tagged"]
    assert f"{registry.name}/tagged" in [one.name for one in engine.search(registry.name)]
    # A push that fails gives no name.
    down = f"localhost:{servers.free_port()}/app:1"
    with pytest.raises(ck.RegistryError, match="cannot be reached"):
        image.push(down)
    assert down not in image.tags


def test_run_pulls_what_is_missing(registry: servers.Registry, image: Image, elsewhere: Engine) -> None:
    reference = f"{registry.name}/lazy"
    image.push(reference)
    with pytest.raises(ck.NotFound, match=r'not found locally \(pull policy "never"\)'):
        elsewhere.call(reference, pull="never")
    assert elsewhere.call(reference).stdout == "from afar\n"
    # Another image gets the name there: here it is still the first one, until somebody asks for it.
    second = Image.import_(_other(elsewhere), changes=['CMD ["echo", "second"]'], engine=elsewhere)
    second.push(reference)
    Image.get(reference, engine=elsewhere).remove(force=True)
    image.tag(reference)
    assert elsewhere.call(reference, pull="always").stdout == "second\n"


def _other(engine: Engine) -> Path:
    """A file system like the first one's."""
    from tests.busybox import build_tar

    return build_tar(engine.paths.root / "other.tar")


def test_layers_that_are_there_are_not_sent_again(
    registry: servers.Registry, image: Image, engine: Engine, elsewhere: Engine
) -> None:
    seen: list[tuple[str, str]] = []

    class Watch(ck.Progress):
        def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
            seen.append((key, state))

    image.push(f"{registry.name}/first/app", progress=Watch())
    assert {state for _, state in seen} >= {"uploading", "done"}
    seen.clear()
    image.push(f"{registry.name}/first/app", progress=Watch())
    assert {state for _, state in seen} == {"looking", "already there"}
    seen.clear()
    # What a sister repository has is taken over from there.
    image.push(f"{registry.name}/second/app", progress=Watch())
    assert {state for _, state in seen} == {"looking", "mounted from first/app"}
    seen.clear()
    Image.pull(f"{registry.name}/second/app", engine=elsewhere, progress=Watch())
    assert {state for _, state in seen} >= {"downloading", "done"}
    seen.clear()
    Image.pull(f"{registry.name}/first/app", engine=elsewhere, progress=Watch())
    assert "downloading" not in {state for _, state in seen}


def test_everything_that_a_file_system_can_hold_survives(
    registry: servers.Registry, engine: Engine, elsewhere: Engine, tmp_path: Path
) -> None:
    trees.build(tmp_path / "tree")
    image = Image.import_(tmp_path / "tree", tag=f"{registry.name}/tree", engine=engine)
    image.push()
    pulled = Image.pull(f"{registry.name}/tree", engine=elsewhere)
    (layer,) = elsewhere.store.layers.ensure(pulled._record.chain_ids, pulled._record.layers)
    assert trees.facts(layer) == trees.facts(tmp_path / "tree")


def test_layers_are_sent_as_gzip_for_those_who_read_nothing_else(
    registry: servers.Registry, image: Image, engine: Engine, elsewhere: Engine
) -> None:
    assert [one.compression for one in image.layer_details()] == ["zstd"]
    image.push(f"{registry.name}/old", compression="gzip")
    pulled = Image.pull(f"{registry.name}/old", engine=elsewhere)
    assert [one.compression for one in pulled.layer_details()] == ["gzip"] and pulled.id == image.id
    assert f"{registry.name}/old@{pulled.digest}" in image.digests and pulled.digest != image.digest
    assert pulled.call().stdout == "from afar\n" and list(engine.paths.tmp.iterdir()) == []


def test_a_large_layer_goes_in_pieces(
    registry: servers.Registry, engine: Engine, elsewhere: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from containerkit.registry import repository

    monkeypatch.setattr(repository, "PIECE", 1 << 20)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/data").write_bytes(os.urandom(3_500_000))
    image = Image.import_(tmp_path / "tree", tag=f"{registry.name}/large", engine=engine)
    image.push()
    pulled = Image.pull(f"{registry.name}/large", engine=elsewhere)
    assert pulled.digest == image.digest


def test_what_is_not_there_is_said_so(registry: servers.Registry, image: Image, engine: Engine) -> None:
    image.push(f"{registry.name}/known:1")
    with pytest.raises(ck.NotFound, match=f"registry {registry.name}: known:2: not found"):
        Image.pull(f"{registry.name}/known:2", engine=engine)
    with pytest.raises(ck.NotFound, match="unknown:latest: not found"):
        Image.pull(f"{registry.name}/unknown", engine=engine)
    with pytest.raises(ck.InvalidArgument, match="must be lower-case"):
        Image.pull(f"{registry.name}/Known", engine=engine)
    with pytest.raises(ck.NotFound, match=r"not for linux/s390x \(there is|is for linux"):
        Image.pull(f"{registry.name}/known:1", platform="linux/s390x", engine=engine)
    port = servers.free_port()
    with pytest.raises(ck.RegistryError, match=f"registry localhost:{port}: cannot be reached: connection refused"):
        Image.pull(f"localhost:{port}/x", engine=engine)


def test_the_catalogue_is_searched(registry: servers.Registry, image: Image, engine: Engine) -> None:
    for tag in ("searched/one:1", "searched/one:2", "searched/two:latest"):
        image.push(f"{registry.name}/{tag}")
    found = engine.search(f"{registry.name}/searched")
    assert [(one.name, one.tags) for one in found] == [
        (f"{registry.name}/searched/one", ("1", "2")),
        (f"{registry.name}/searched/two", ("latest",)),
    ]
    assert len(engine.search(f"{registry.name}/nowhere-at-all")) == 0
    assert list(found.frame()["tags"]) == ["1, 2", "latest"] and "searched/one" in found._repr_html_()


def test_short_names_are_looked_for_in_additional_registries(
    registry: servers.Registry, image: Image, tmp_path: Path
) -> None:
    image.push(f"{registry.name}/library-of-ours/tool:3")
    with make_engine(tmp_path / "there", registries={"additional": [registry.name]}) as engine:
        pulled = Image.pull("library-of-ours/tool:3", engine=engine)
        assert pulled.tags == (f"{registry.name}/library-of-ours/tool:3",)
        # Here, too, the short name is enough from now on.
        assert Image.get("library-of-ours/tool:3", engine=engine) == pulled
        assert engine.call("library-of-ours/tool:3", pull="never").stdout == "from afar\n"


def test_an_additional_registry_that_is_down_is_no_reason_to_take_the_next_one_s(
    registry: servers.Registry, image: Image, tmp_path: Path
) -> None:
    image.push(f"{registry.name}/confused:1")
    down = f"localhost:{servers.free_port()}"
    with make_engine(tmp_path / "there", registries={"additional": [down, registry.name]}) as engine:
        with pytest.raises(ck.RegistryError, match=f"registry {down}: cannot be reached"):
            Image.pull("confused:1", engine=engine)
        assert len(engine.images) == 0


def test_mirrors_are_asked_first_and_passed_over_when_they_fail(
    registry: servers.Registry, image: Image, tmp_path: Path
) -> None:
    image.push(f"{registry.name}/mirrored:1")
    port = servers.free_port()
    mirrors = {"registry.example": [f"http://localhost:{port}", f"http://{registry.name}"]}
    with make_engine(tmp_path / "there", registries={"mirrors": mirrors}) as engine:
        pulled = Image.pull("registry.example/mirrored:1", engine=engine)
        assert pulled.tags == ("registry.example/mirrored:1",) and pulled.digest == image.digest


# -- with TLS and passwords ------------------------------------------------------------------------------------------


@pytest.fixture
def trusting(nothing_is_left: None, private_registry: servers.Registry, tmp_path: Path) -> Iterator[Engine]:
    """An engine with the private registry's CA in its ``certs.d``."""
    directory = tmp_path / "certs.d" / private_registry.name
    directory.mkdir(parents=True)
    assert private_registry.certificate is not None
    (directory / "ca.crt").write_bytes(private_registry.certificate.read_bytes())
    with make_engine(tmp_path / "trusting", registries={"certs": [str(tmp_path / "certs.d")]}) as engine:
        yield engine


def test_a_private_registry_with_its_own_ca_and_passwords(
    private_registry: servers.Registry, trusting: Engine, busybox_tar: Path, home: Path
) -> None:
    name = private_registry.name
    image = Image.import_(busybox_tar, tag=f"{name}/app:1", engine=trusting)
    with pytest.raises(ck.RegistryError, match=f'registry {name}: wants a login: ck.login\\("{name}", …\\)'):
        image.push()
    with pytest.raises(ck.RegistryError, match=f"registry {name}: the login of ada is refused") as refused:
        trusting.login(name, servers.USER, "wrong horse")
    assert "wrong horse" not in str(refused.value) and not (home / ".docker").exists()
    where = trusting.login(name, servers.USER, servers.PASSWORD)
    assert where == str(home / ".docker/config.json")
    assert (home / ".docker/config.json").stat().st_mode & 0o777 == 0o600
    image.push()
    image.remove()
    assert Image.pull(f"{name}/app:1", engine=trusting).call("echo in").stdout == "in\n"
    assert [one.name for one in trusting.search(f"{name}/")] == [f"{name}/app"]
    assert trusting.logout(name) and not trusting.logout(name)
    with pytest.raises(ck.RegistryError, match="wants a login"):
        Image.pull(f"{name}/app:1", engine=trusting)
    trusting.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    private_registry: servers.Registry, engine: Engine, home: Path
) -> None:
    name = private_registry.name
    with pytest.raises(ck.RegistryError, match=f"registry {name}: its certificate is not trusted: "):
        engine.login(name, servers.USER, servers.PASSWORD, tls_verify=True)
    # Unless somebody says that it does not matter.
    assert engine.login(name, servers.USER, servers.PASSWORD, tls_verify=False)


def test_what_docker_s_login_has_written_is_enough_and_ours_is_enough_for_skopeo(
    private_registry: servers.Registry, trusting: Engine, busybox_tar: Path, home: Path, tmp_path: Path
) -> None:
    name = private_registry.name
    pair = base64.b64encode(f"{servers.USER}:{servers.PASSWORD}".encode()).decode()
    (home / ".docker").mkdir(parents=True)
    config = home / ".docker/config.json"
    config.write_text(json.dumps({"auths": {name: {"auth": pair}}, "detachKeys": "ctrl-q"}))
    image = Image.import_(busybox_tar, tag=f"{name}/shared:1", engine=trusting)
    image.push()
    trusting.logout(name)
    assert json.loads(config.read_text()) == {"auths": {}, "detachKeys": "ctrl-q"}
    trusting.login(name, servers.USER, servers.PASSWORD)
    words = ["skopeo", "inspect", "--cert-dir", str(tmp_path / "certs.d" / name), "--authfile", str(config)]
    done = subprocess.run([*words, f"docker://{name}/shared:1"], check=True, capture_output=True)
    assert json.loads(done.stdout)["Digest"] == image.digest
    trusting.close()
