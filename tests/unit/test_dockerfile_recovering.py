"""Dockerfiles for images of which the history and the config are known."""

from __future__ import annotations

from containerkit.dockerfile.recovering import recovered
from containerkit.oci.image_config import ContainerConfig, History


def history(*said: str) -> list[History]:
    return [History(created_by=one) for one in said]


CONFIG = ContainerConfig(
    env=("PATH=/bin", "A=x  y", "B=$1"), cmd=("sh",), working_dir="/srv", user="web", labels={"l": "a b"}
)


def test_buildkit() -> None:
    said = history(
        "# debian.sh --arch 'amd64'", "ENV A=x  y B=$1", "ARG V=1 2", "WORKDIR /srv",
        "RUN |1 V=1 2 /bin/sh -c make $V # buildkit", "COPY . /srv # buildkit", "USER web",
        "RUN /bin/sh -c set -e\nmake # buildkit", 'CMD ["sh"]', "LABEL l=a b", 'SHELL ["/bin/bash", "-c"]',
        "RUN /bin/bash -c x",
    )  # fmt: skip
    assert recovered(said, CONFIG).splitlines() == [
        "FROM scratch", "# # debian.sh --arch 'amd64'", 'ENV A="x  y"', 'ENV B="\\$1"', 'ARG V="1 2"', "WORKDIR /srv",
        "RUN make $V", "# COPY . /srv", "USER web", "RUN <<EOF", "set -e", "make", "EOF",
        'SHELL ["/bin/bash", "-c"]', "RUN x", "ENV PATH=/bin", 'LABEL l="a b"', 'CMD ["sh"]',
    ]  # fmt: skip


def test_docker_before_buildkit() -> None:
    said = history(
        "/bin/sh -c #(nop) ADD file:0123 in / ", '/bin/sh -c #(nop)  CMD ["bash"]', "/bin/sh -c #(nop)  ENV B=$1",
        "|1 V=1 /bin/sh -c apt-get update", "/bin/sh -c true", "",
    )  # fmt: skip
    assert recovered(said, ContainerConfig(env=("B=$1",))).splitlines() == [
        "FROM scratch", "# ADD file:0123 in /", 'ENV B="\\$1"', "RUN apt-get update", "RUN true", "# a layer",
    ]  # fmt: skip


def test_what_the_base_has_is_not_said_again() -> None:
    base = ContainerConfig(env=("PATH=/bin",), cmd=("sh",), labels={"l": "a b"})
    assert recovered([], CONFIG, "base", base) == 'FROM base\nENV A="x  y"\nENV B="\\$1"\nWORKDIR /srv\nUSER web\n'


def test_a_count_of_arguments_that_is_none_is_no_argument() -> None:
    said = recovered(history("|" + "9" * 5000 + " A=1 /bin/sh -c true"), ContainerConfig())
    assert said.startswith("FROM scratch\n# ")
