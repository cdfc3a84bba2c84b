"""Where a registry is asked, by which scheme, and whom to believe."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerkit.configuration import Registries
from containerkit.errors import InvalidArgument
from containerkit.registry.hosts import Trust, address_of, host_of, hosts, is_insecure, is_loopback, trust_in

NOWHERE = Registries(certs=())


def test_docker_io_is_asked_at_its_registry_s_host() -> None:
    (host,) = hosts("docker.io", NOWHERE)
    assert (host.authority, host.schemes, host.prefix) == ("registry-1.docker.io", ("https",), "")
    assert str(host) == "registry docker.io" and host.account == "docker.io"


def test_a_registry_is_asked_at_its_own_name_with_tls() -> None:
    (host,) = hosts("registry.lan:5000", NOWHERE)
    assert (host.authority, host.schemes, host.trust) == ("registry.lan:5000", ("https",), Trust())


# -- mirrors ---------------------------------------------------------------------------------------------------------


def test_mirrors_are_asked_first_in_order_below_their_paths() -> None:
    mirrors = {"docker.io": ("https://mirror.lan/hub/", "http://cache.lan:5000", "bare.lan")}
    *found, last = hosts("docker.io", Registries(mirrors=mirrors, certs=(), realms={"mirror.lan": ("tokens.lan",)}))
    assert [(host.authority, host.schemes, host.prefix) for host in found] == [
        ("mirror.lan", ("https",), "/hub"),
        ("cache.lan:5000", ("http",), ""),
        ("bare.lan", ("https",), ""),
    ]
    assert last.authority == "registry-1.docker.io" and not last.is_mirror
    # A mirror has its own login and its own realms, and errors tell it from what it mirrors.
    assert found[0].account == "mirror.lan" and found[0].realms == ("tokens.lan",) and found[1].realms == ()
    assert str(found[0]) == "mirror mirror.lan of docker.io"
    assert hosts("other.lan", Registries(mirrors=mirrors, certs=()))[0].authority == "other.lan"


@pytest.mark.parametrize("url", ["ftp://mirror.lan", "https://", "", "https://user:pa55@mirror.lan", "https:///path"])
def test_a_mirror_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(
        InvalidArgument, match=r"^configuration: registries.mirrors: .*: expected https://HOST"
    ) as raised:
        hosts("docker.io", Registries(mirrors={"docker.io": (url,)}, certs=()))
    assert "pa55" not in str(raised.value)


# -- without TLS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "entry", "is_named"),
    [
        ("registry.lan", "registry.lan", True),
        ("registry.lan:5000", "registry.lan", True),
        ("registry.lan:5000", "registry.lan:5000", True),
        ("registry.lan:5000", "registry.lan:5001", False),
        ("registry.lan", "registry.lan:5000", False),
        ("Registry.LAN:5000", "registry.lan", True),
        ("registry.lan", "Registry.Lan", True),
        ("a.b.lan:5000", "*.lan", True),
        ("a.lan", "*.lan", True),
        ("lan", "*.lan", False),
        ("evil-lan", "*.lan", False),
        ("a.lan.evil", "*.lan", False),
        ("10.1.2.3:5000", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3/8", True),  # docker takes host bits, too
        ("10.1.2.3", "10.1.2.3", True),
        ("registry.lan", "10.0.0.0/8", False),
        ("[fd00::1]:5000", "fd00::/8", True),
        ("[fd00::1]:5000", "[fd00::1]:5000", True),
        ("[fd00::1]:5000", "fd00::1", True),
        ("[fe80::1]", "fd00::/8", False),
        ("[::ffff:10.1.2.3]", "10.0.0.0/8", True),
        ("10.1.2.3", "fd00::/8", False),
        ("registry.lan", "", False),
    ],
)
def test_a_registry_without_tls_is_named_by_host_domain_or_network(authority: str, entry: str, is_named: bool) -> None:
    assert is_insecure(authority, ("other.lan", entry)) == is_named


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "http://registry.lan", "registry.lan/path"])
def test_an_entry_that_names_nothing_is_refused(entry: str) -> None:
    # Whichever registry is asked: a mistake is told at once.
    with pytest.raises(InvalidArgument, match=r"^configuration: registries.insecure: .*: not a host and not a network"):
        is_insecure("registry.lan", ("registry.lan", entry))


def test_what_is_insecure_is_asked_with_unverified_tls_and_then_without() -> None:
    for registry in ("registry.lan:5000", "docker.io"):
        (host,) = hosts(registry, Registries(insecure=(registry,), certs=()))
        assert host.schemes == ("https", "http") and not host.trust.verify
    (host,) = hosts("docker.io", Registries(insecure=("registry-1.docker.io",), certs=()))
    assert not host.trust.verify


@pytest.mark.parametrize("registry", ["localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "a.localhost"])
def test_plain_http_is_good_enough_on_this_machine(registry: str) -> None:
    (host,) = hosts(registry, NOWHERE)
    # A certificate that is there has to be good, all the same.
    assert host.schemes == ("https", "http") and host.trust.verify


def test_who_asks_has_the_last_word() -> None:
    insecure = Registries(insecure=("registry.lan", "localhost"), certs=())
    for registry in ("registry.lan", "localhost"):
        (host,) = hosts(registry, insecure, True)
        assert host.schemes == ("https",) and host.trust.verify
    for registry in ("registry.lan", "other.lan", "localhost"):
        (host,) = hosts(registry, NOWHERE, False)
        assert host.schemes == ("https", "http") and not host.trust.verify
    # A mirror's address says how it is asked.
    mirrored = Registries(mirrors={"registry.lan": ("https://mirror.lan",)}, certs=())
    assert [host.trust.verify for host in hosts("registry.lan", mirrored, False)] == [True, False]


# -- certificates ----------------------------------------------------------------------------------------------------


def place(directory: Path, *names: str) -> list[str]:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).touch()
    return [str(directory / name) for name in names]


def test_certificates_of_a_registry_are_in_a_directory_of_its_name(tmp_path: Path) -> None:
    ca, other, certificate, key, _ = place(
        tmp_path / "ours/registry.lan:5000", "ca.crt", "b.crt", "client.cert", "client.key", "README"
    )
    (more,) = place(tmp_path / "docker/registry.lan:5000", "ca.crt")
    place(tmp_path / "docker/registry.lan", "other.crt")
    configuration = Registries(certs=(str(tmp_path / "ours"), str(tmp_path / "absent"), str(tmp_path / "docker")))
    (host,) = hosts("registry.lan:5000", configuration)
    assert host.trust == Trust(True, (other, ca, more), (certificate, key))
    assert trust_in("registry.lan:5000", configuration) == host.trust
    assert trust_in("elsewhere.lan", configuration) == Trust()


def test_certificates_are_found_below_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (ca,) = place(tmp_path / "certs/[fd00::1]:5000", "ca.crt")
    assert hosts("[fd00::1]:5000", Registries(certs=("~/certs",)))[0].trust.authorities == (ca,)


def test_a_certificate_of_ours_without_its_key_is_refused(tmp_path: Path) -> None:
    place(tmp_path / "registry.lan", "client.cert", "other.key")
    with pytest.raises(
        InvalidArgument, match=r"^registry registry.lan: certificate .*client.cert: its key .* missing$"
    ):
        hosts("registry.lan", Registries(certs=(str(tmp_path),)))


# -- names and addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "host"),
    [("a.lan", "a.lan"), ("a.lan:5000", "a.lan"), ("[::1]:5000", "::1"), ("[::1]", "::1"), ("::1", "::1"), ("", "")],
)
def test_an_authority_is_taken_apart(authority: str, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:80", "localhost.", "x.localhost", "127.0.0.1", "::1",
                                  "[::1]:80", "::ffff:127.0.0.1"])  # fmt: skip
def test_this_machine_is_known_by_its_names(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", ["localhost.evil.example", "notlocalhost", "128.0.0.1", "10.0.0.1", "fe80::1", "", "a"]
)
def test_other_machines_are_not_this_one(name: str) -> None:
    assert not is_loopback(name)


def test_a_name_is_no_address() -> None:
    assert address_of("registry.lan") is None and str(address_of("::ffff:10.0.0.1")) == "10.0.0.1"
