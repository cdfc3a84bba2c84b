"""Where apt's packages come from: both formats of its sources, and what is asked for another suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerkit.layers import aptsources
from containerkit.layers.aptsources import Source

MIRROR = "http://mirror.example/debian"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def suites(sources: list[Source]) -> list[tuple[str, ...]]:
    return [source.suites for source in sources]


def test_lines(etc: Path) -> None:
    (etc / "sources.list").write_text(
        f"# deb {MIRROR} old main\n"
        f"deb {MIRROR} bookworm main contrib # the base\n"
        f"deb-src {MIRROR} bookworm main\n"
        f"  deb [ arch=amd64,arm64 signed-by=/key.gpg trusted=yes ] {MIRROR} bookworm-updates main\n"
        "deb nonsense\n\n"
    )
    base, updates = aptsources.of_machine(etc)
    assert base == Source((MIRROR,), ("bookworm",), ("main", "contrib"))
    assert updates.options == (("Architectures", "amd64 arm64"), ("Signed-By", "/key.gpg"), ("Trusted", "yes"))
    assert str(updates) == (
        f"Types: deb\nURIs: {MIRROR}\nSuites: bookworm-updates\nComponents: main\n"
        "Architectures: amd64 arm64\nSigned-By: /key.gpg\nTrusted: yes\n"
    )


def test_stanzas(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(
        f"# the base\nTypes: deb deb-src\n# where\nURIs: {MIRROR}\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\n"
        f"Types: deb\nURIs: {MIRROR}\nSuites: trixie\nComponents: main\nEnabled: no\n \n"
        f"Types: deb-src\nURIs: {MIRROR}\nSuites: trixie\nComponents: main\n\n"
        f"types: deb\nuris: {MIRROR}-security\nsuites: bookworm-security\ncomponents: main\n"
    )
    (etc / "sources.list.d/ignored.list.disabled").write_text(f"deb {MIRROR} sid main\n")
    (etc / "sources.list.d/binary.list").write_bytes(b"\xff\xfe")
    base, security = aptsources.of_machine(etc)
    assert base.suites == ("bookworm", "bookworm-updates") and security.uris == (f"{MIRROR}-security",)
    assert dict(base.options)["Signed-By"].splitlines() == [
        "", " -----BEGIN PGP PUBLIC KEY BLOCK-----", " .", " abc",
    ] or dict(base.options)["Signed-By"].startswith("-----BEGIN")  # fmt: skip
    # What is written can be read again.
    (etc / "again").mkdir()
    (etc / "again/sources.list.d").mkdir()
    (etc / "again/sources.list.d/x.sources").write_text(f"{base}\n{security}")
    assert aptsources.of_machine(etc / "again") == [base, security]


def test_a_suite_comes_with_what_belongs_to_it() -> None:
    base = Source((MIRROR,), ("bookworm", "bookworm-updates", "trixie"), ("main",))
    security = Source((MIRROR,), ("bookworm-security",), ("main",))
    other = Source(("http://other.example",), ("stable",), ("main",))
    found = aptsources.of_suite("bookworm", [base, security, other])
    assert suites(found) == [("bookworm", "bookworm-updates"), ("bookworm-security",)]
    assert suites(aptsources.of_suite("trixie", [base, security, other])) == [("trixie",)]


def test_another_suite_is_asked_for_in_the_same_places() -> None:
    cdrom = Source(("cdrom:[Debian]/",), ("bookworm",), ("main",))
    security = Source((f"{MIRROR}-security",), ("bookworm-security",), ("main",))
    base = Source((MIRROR,), ("bookworm", "bookworm-updates"), ("main", "contrib"))
    flat = Source(("http://flat.example",), ("./",), ())
    sources = [cdrom, flat, security, base]
    found = aptsources.of_suite("trixie", sources)
    assert [(source.uris[0], source.suites) for source in found] == [
        (f"{MIRROR}-security", ("trixie-security",)), (MIRROR, ("trixie", "trixie-updates")),
    ]  # fmt: skip
    assert [source.uris for source in aptsources.of_suite("sid", [base])] == [(MIRROR,)]
    assert aptsources.of_suite("sid", [cdrom, flat]) == aptsources.of_suite("sid", []) == []
    rolling = aptsources.of_suite("sid", [security, Source((MIRROR,), ("bookworm",), ("main",))])
    assert suites(rolling) == [("sid",)], "nothing beside"


def test_how_apt_fetches_is_taken_along() -> None:
    for line in aptsources.options().splitlines():
        assert line.startswith(("Acquire::", "Dir::Etc::netrc")) and line.endswith(";")
        assert not line.startswith(("Acquire::IndexTargets", "Acquire::Languages", "Acquire::Changelogs"))
