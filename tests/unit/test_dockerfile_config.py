"""What instructions change of an image's config, as imports and commits take them."""

from __future__ import annotations

import pytest

from containerkit.dockerfile import apply, apply_changes, parse_instructions
from containerkit.errors import InvalidArgument
from containerkit.oci.image_config import ContainerConfig, HealthConfig


def test_instructions_change_a_config() -> None:
    start = ContainerConfig(env=("PATH=/bin", "A=0"), working_dir="/srv")
    found = apply_changes(
        start,
        [
            'CMD ["sh", "-c", "x"]', "ENTRYPOINT exec top", 'env A=1 B="2 3"', "ENV C 4 5", "USER web:www",
            "WORKDIR www", "LABEL a=b 'c d'=e", "EXPOSE 80 53/udp 8000-8001", 'VOLUME ["/data", "/x y"]',
            "STOPSIGNAL SIGINT", "ENV D=$A$B PATH=/x:$PATH", "WORKDIR ../$D", "ONBUILD RUN x", "ONBUILD USER $y",
        ],
    )  # fmt: skip
    assert found.cmd == ("sh", "-c", "x") and found.entrypoint == ("/bin/sh", "-c", "exec top")
    assert found.env == ("PATH=/x:/bin", "A=1", "B=2 3", "C=4 5", "D=12 3")
    assert (found.user, found.working_dir, found.stop_signal) == ("web:www", "/srv/12 3", "SIGINT")
    assert found.labels == {"a": "b", "c d": "e"} and found.on_build == ("RUN x", "USER $y")
    assert set(found.exposed_ports or ()) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp"}
    assert set(found.volumes or ()) == {"/data", "/x y"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ENTRYPIONT x", "did you mean ENTRYPOINT?"),
        ("RUN x", "expected one of CMD"),
        ("FROM x", "expected one of CMD"),
        ("CMD", "needs an argument"),
        ("EXPOSE http", "not a port"),
        ("EXPOSE 0", "not a port"),
        ("ENV A", "expected NAME=value"),
        ('LABEL a="b', "does not end"),
        ("", "found none"),
        ("USER a\nUSER b", "found 2"),
        ("STOPSIGNAL $X", "unknown"),
        ("USER ${X:?no}", "variable X: no"),
    ],
)
def test_a_wrong_instruction_is_refused_with_the_reason(change: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^change ") as raised:
        apply_changes(ContainerConfig(), [change])
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_new_entrypoint_takes_the_base_image_s_command_away() -> None:
    base = ContainerConfig(cmd=("base",), entrypoint=("old",))
    assert apply_changes(base, ["ENTRYPOINT new"]).cmd is None
    assert apply_changes(base, ["CMD a", "ENTRYPOINT new"]).cmd == ("/bin/sh", "-c", "a")
    assert apply_changes(base, ["ENTRYPOINT []"]) == ContainerConfig()
    assert apply_changes(base, ["CMD []"]).cmd == ()
    (entrypoint,) = parse_instructions(['ENTRYPOINT ["x"]'])
    assert apply(base, entrypoint, keeps_cmd=True).cmd == ("base",)


def test_the_shell_form_uses_the_shell() -> None:
    found = apply_changes(ContainerConfig(), ['SHELL ["/bin/bash", "-ec"]', "CMD a  b", "ENTRYPOINT c"])
    assert found.cmd == ("/bin/bash", "-ec", "a  b") and found.entrypoint == ("/bin/bash", "-ec", "c")


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [("", "a", "/a"), ("/a", "b/../c/", "/a/c"), ("/a", "/b//c", "/b/c"), ("/a", "../../..", "/"), ("", "//x", "/x")],
)
def test_working_directories_follow_each_other(before: str, said: str, after: str) -> None:
    assert apply_changes(ContainerConfig(working_dir=before), [f"WORKDIR {said}"]).working_dir == after


def test_health_checks_are_kept() -> None:
    def check(text: str) -> HealthConfig | None:
        return apply_changes(ContainerConfig(), [f"HEALTHCHECK {text}"]).healthcheck

    assert check("--interval=2s --retries=3 CMD a b") == HealthConfig(("CMD-SHELL", "a b"), 2 * 10**9, retries=3)
    assert check('CMD ["a", "b"]') == HealthConfig(("CMD", "a", "b"))
    assert check("NONE") == HealthConfig(("NONE",))


def test_what_changes_files_changes_no_config() -> None:
    config = ContainerConfig(user="x")
    for one in parse_instructions(["RUN a", "COPY a b", "ADD a b", "ARG a", "MAINTAINER a", "FROM a"]):
        assert apply(config, one) is config
