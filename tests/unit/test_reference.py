"""How people name images, and how an image's config is read and changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.configuration import Registries
from containerkit.errors import InvalidArgument
from containerkit.oci import codec
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ImageConfig, format_time, parse_time
from containerkit.oci.reference import Reference
from containerkit.registry.names import candidates

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1", "busybox:1"),
        ("library/busybox:1", "docker.io/library/busybox:1", "busybox:1"),
        ("docker.io/busybox:1", "docker.io/library/busybox:1", "busybox:1"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("someone/thing", "docker.io/someone/thing:latest", "someone/thing:latest"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/thing", "localhost/thing:latest", "localhost/thing:latest"),
        ("localhost:5000/thing:v1.2-x", "localhost:5000/thing:v1.2-x", "localhost:5000/thing:v1.2-x"),
        ("host:5000/a/b/c", "host:5000/a/b/c:latest", "host:5000/a/b/c:latest"),
        ("quay.io/Org".lower() + "/x", "quay.io/org/x:latest", "quay.io/org/x:latest"),
        ("Upper/thing", "Upper/thing:latest", "Upper/thing:latest"),
        ("[fe80::1]:5000/x", "[fe80::1]:5000/x:latest", "[fe80::1]:5000/x:latest"),
        ("a__b--c.d", "docker.io/library/a__b--c.d:latest", "a__b--c.d:latest"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest", "127.0.0.1:5000/x:latest"),
        ("xn--bcher-kva.example/x", "xn--bcher-kva.example/x:latest", "xn--bcher-kva.example/x:latest"),
        # Without a slash there is no registry: a name with a dot, or a tag that looks like a port.
        ("localhost", "docker.io/library/localhost:latest", "localhost:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("registry.lan", "docker.io/library/registry.lan:latest", "registry.lan:latest"),
        ("docker.io", "docker.io/library/docker.io:latest", "docker.io:latest"),
        ("r.lan:5000/x@sha256:" + HEX, f"r.lan:5000/x@sha256:{HEX}", f"r.lan:5000/x@sha256:{HEX}"),
        ("r.lan:5000/a/b:1@sha256:" + HEX, f"r.lan:5000/a/b:1@sha256:{HEX}", f"r.lan:5000/a/b:1@sha256:{HEX}"),
        ("x:" + "a" * 128, "docker.io/library/x:" + "a" * 128, "x:" + "a" * 128),
        # Without its domain, it would be another registry's.
        ("docker.io/quay.io/x", "docker.io/quay.io/x:latest", "docker.io/quay.io/x:latest"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"),
        ("x:_1.-", "docker.io/library/x:_1.-", "x:_1.-"),
        (f"x@sha256:{HEX}", f"docker.io/library/x@sha256:{HEX}", f"x@sha256:{HEX}"),
        (f"x:1@sha256:{HEX}", f"docker.io/library/x:1@sha256:{HEX}", f"x:1@sha256:{HEX}"),
    ],
)
def test_references_are_completed_as_docker_does(text: str, full: str, familiar: str) -> None:
    found = Reference.parse(text)
    assert (found.full, found.familiar) == (full, familiar)
    assert Reference.parse(full) == Reference.parse(familiar) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Busybox", "did you mean busybox?"),
        ("docker.io/Library/x", "lower-case"),
        ("", "not a reference"),
        ("a//b", "not a reference"),
        ("-a", "not a reference"),
        ("a_-b", "not a reference"),
        ("x:", "not a tag"),
        ("x:-1", "not a tag"),
        ("x:" + "a" * 129, "not a tag"),
        ("x@sha256:12", "not a sha256 digest"),
        ("x@", "not a sha256 digest"),
        ("reg_istry.io:x/y", "not a registry's name"),
        (HEX, "image id"),
        ("a" * 250, "longer than 255"),
        ("r.lan:5000/Team/App:V1", "did you mean r.lan:5000/team/app?"),
        ("https://registry.lan/x", "an address, not a name"),
        ("registry.lan/", "not a reference"),
        ("/x", "not a reference"),
        ("r.lan//x", "not a reference"),
        ("a/_b", "not a reference"),
        ("a___b", "not a reference"),
        ("a..b", "not a reference"),
        ("a-", "not a reference"),
        ("a b", "not a reference"),
        ("caf\xe9", "not a reference"),
        ("r.lan:/x", "not a registry's name"),
        ("r.lan:x/y", "not a registry's name"),
        ("-r.lan/x", "not a registry's name"),
        ("r..lan/x", "not a registry's name"),
        ("[::1/x", "not a registry's name"),
        ("x:1:2", "not a tag"),
        ("x:a/b", "not a registry's name"),
        ("x@sha512:" + "a" * 128, "not a sha256 digest"),
        ("x@sha256:" + "A" * 64, "not a sha256 digest"),
        (f"x@sha256:{HEX}@sha256:{HEX}", "not a sha256 digest"),
        ("x\n", "not a reference"),
        ("x:1\n", "not a tag"),
    ],
)
def test_a_wrong_reference_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match="^image ") as raised:
        Reference.parse(text)
    assert words in str(raised.value)


@given(st.text(max_size=300))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = Reference.parse(text)
    except InvalidArgument:
        return
    assert Reference.parse(found.full) == found == Reference.parse(found.familiar)


# -- short names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("app", ["r.lan:5000/app:latest", "[fd00::1]/app:latest", "docker.io/library/app:latest"]),
        ("team/app:1", ["r.lan:5000/team/app:1", "[fd00::1]/team/app:1", "docker.io/team/app:1"]),
        (f"app@sha256:{HEX}", [f"r.lan:5000/app@sha256:{HEX}", f"[fd00::1]/app@sha256:{HEX}",
                               f"docker.io/library/app@sha256:{HEX}"]),
        # Whoever names a registry means it.
        ("docker.io/app", ["docker.io/library/app:latest"]),
        ("docker.io/library/app", ["docker.io/library/app:latest"]),
        ("index.docker.io/app", ["docker.io/library/app:latest"]),
        ("quay.io/app", ["quay.io/app:latest"]),
        ("localhost/app", ["localhost/app:latest"]),
        ("r.lan:5000/app", ["r.lan:5000/app:latest"]),
    ],
)  # fmt: skip
def test_short_names_may_be_of_additional_registries(text: str, found: list[str]) -> None:
    names = candidates(text, Registries(additional=("r.lan:5000", "[fd00::1]")))
    assert [name.full for name in names] == found
    assert [name.full for name in candidates(text, Registries())] == found[-1:]


@pytest.mark.parametrize(
    "registry", ["registry", "r.lan/team", "", "a b", "https://r.lan", "r.lan:x", "index.docker.io"]
)
def test_an_additional_registry_that_is_no_host_is_refused(registry: str) -> None:
    # "registry/app" would be somebody's image on docker.io.
    with pytest.raises(InvalidArgument, match=r"^configuration: registries.additional: "):
        candidates("app", Registries(additional=(registry,)))
    assert candidates("quay.io/app", Registries(additional=(registry,)))[0].domain == "quay.io"


def test_chain_ids_follow_the_specification() -> None:
    first, second = f"sha256:{HEX}", digests.of(b"second")
    assert digests.chain_ids((first, second)) == (first, digests.of(f"{first} {second}".encode()))


@pytest.mark.parametrize("text", ["", "sha256:", f"sha512:{HEX}", f"sha256:{HEX.upper()}", f"sha256:../{HEX[3:]}"])
def test_a_digest_that_could_be_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        digests.hex_of(text)


# -- config ----------------------------------------------------------------------------------------------------------


def test_a_config_that_docker_wrote_is_read() -> None:
    text = """{"architecture":"amd64","os":"linux","created":"2024-05-06T07:08:09.123456789Z","docker_version":"x",
      "config":{"Env":["A=1"],"Cmd":["sh"],"Entrypoint":null,"OnBuild":["RUN x"],"Labels":{"l":"v"},
        "ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"],"StartPeriod":5},"ArgsEscaped":true},
      "rootfs":{"type":"layers","diff_ids":["sha256:1"]},"history":[{"created_by":"x","empty_layer":true}]}"""
    found = codec.loads(ImageConfig, text, "config")
    assert found.config.env == ("A=1",) and found.config.cmd == ("sh",) and found.config.entrypoint is None
    assert found.config.healthcheck is not None and found.config.healthcheck.start_period == 5
    assert found.config.on_build == ("RUN x",) and found.rootfs.diff_ids == ("sha256:1",)
    assert found.history[0].empty_layer and found.history[0].created_by == "x"
    assert codec.loads(ImageConfig, codec.dumps(found), "config") == found


def test_a_manifest_of_schema_1_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not an image manifest of schema 2"):
        oci.read_manifest(b'{"schemaVersion":1,"config":{"mediaType":"","digest":"","size":1},"layers":[]}', "manifest")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2024-05-06T07:08:09Z", 1714979289), ("2024-05-06T09:08:09.5+02:00", 1714979289.5), ("", 0)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_time(text).timestamp() == seconds


def test_a_time_is_written_and_read() -> None:
    assert parse_time(format_time(1714979289.9)).timestamp() == 1714979289
    with pytest.raises(InvalidArgument, match="^time 'yesterday'"):
        parse_time("yesterday")
