"""FROM, ARG, and what is copied between stages."""

from __future__ import annotations

from tests.peers.builds.case import BUILDKIT, NEITHER, Case, Expected, Link

CASES = (
    Case("from-scratch", 'FROM scratch\nCOPY one /one\nCMD ["/one"]\n', {"one": "1"}),
    # docker makes it, and cannot save it.
    Case(
        "from-scratch-empty",
        "FROM scratch\nLABEL nothing=here\n",
        builders=NEITHER,
        expected=Expected(config={"Labels": {"nothing": "here"}}, layers=0),
    ),
    Case("from-only", "FROM busybox\n"),
    Case("from-platform", "FROM --platform=linux/amd64 busybox\nLABEL a=b\n", builders=BUILDKIT),
    Case("from-platform-elsewhere", "FROM --platform=linux/arm64 busybox\nLABEL a=b\n", builders=NEITHER, refused=True),
    Case(
        "stages-by-name",
        "FROM busybox AS made\nRUN mkdir /out && echo made >/out/it && chmod 750 /out\n"
        'FROM scratch\nCOPY --from=made /out /out\nENTRYPOINT ["/out/it"]\n',
    ),
    Case(
        "stages-by-number",
        "FROM busybox\nRUN echo 0 >/number\nFROM busybox\nCOPY --from=0 /number /from-zero\n"
        "FROM scratch\nCOPY --from=1 /from-zero /bin/vi /both/\n",
    ),
    Case(
        "stage-on-a-stage",
        "FROM busybox AS base\nENV A=1\nWORKDIR /w\nRUN echo a >a\nFROM base AS next\nRUN echo b >b\nFROM next\n"
        "LABEL c=d\n",
    ),
    Case(
        "stage-names-are-in-any-case",
        "FROM busybox as Made\nRUN echo x >/x\nfrom scratch\ncopy --from=mADE /x /x\n",
    ),
    Case(
        "target",
        "FROM busybox AS one\nENV STAGE=one\nFROM one AS two\nENV STAGE=two\nFROM two AS three\nRUN false\n",
        target="two",
    ),
    Case(
        "target-by-number",
        "FROM busybox\nLABEL a=0\nFROM busybox\nLABEL a=1\nFROM busybox\nLABEL a=2\n",
        target="1",
        builders=NEITHER,
        expected=Expected(config={"Labels": {"a": "1"}}),
    ),
    Case(
        "unused-stage-is-not-built",
        "FROM busybox AS broken\nRUN false\nFROM busybox\nRUN echo fine >/fine\n",
        builders=BUILDKIT,
    ),
    Case(
        "copy-from-an-image",
        "FROM scratch\nCOPY --from=busybox /bin/busybox /bin/vi /bin/\n",
    ),
    Case(
        "copy-from-a-stage-with-links",
        "FROM busybox AS made\nRUN mkdir -p /a/b && echo x >/a/b/x && ln -s b /a/link && ln -s /a/b/x /a/absolute "
        "&& ln /a/b/x /a/hard && chown -R 33:50 /a/b && mkfifo /a/fifo\nFROM busybox\nCOPY --from=made /a /copied\n"
        "COPY --from=made /a/link /of-a-link/\nCOPY --from=made /a/absolute /of-absolute\n",
        ours={
            "^file /copied/fifo: too much, pipe": "BuildKit leaves pipes out, and says nothing; the classic builder "
            "copies them"
        },
        differs={"^file /copied/fifo": "BuildKit leaves pipes out"},
    ),
    Case(
        "arg-before-from",
        "ARG BASE=nowhere\nARG TAG=latest\nFROM ${BASE}:$TAG AS here\nARG TAG\nARG BASE=own\n"
        "RUN echo $BASE $TAG >/said\n",
        build_args={"BASE": "busybox"},
    ),
    Case(
        "arg-before-from-is-not-in-stages",
        'ARG V=1\nFROM busybox\nRUN echo "[$V]" >/without\nARG V\nRUN echo "[$V]" >/with\n',
    ),
    Case("arg-default-in-from", "FROM ${BASE:-busybox}\nLABEL a=b\n"),
    Case(
        "arg-global-default-with-an-arg",
        "ARG NAME=busy\nARG BASE=${NAME}box\nFROM $BASE\nARG BASE\nLABEL base=$BASE\n",
    ),
    Case(
        "arg-defaults-and-given",
        'FROM busybox\nARG A=a\nARG B=b\nARG C\nARG D\nRUN echo $A $B $C ${D-unset} >/said\nLABEL all="$A $B $C"\n',
        build_args={"B": "given", "C": "given too"},
        ours={r"^history \d+: .RUN \|3 .*, not .RUN \|4 .* D= ": "an argument that has no value is not told of"},
    ),
    Case("arg-empty-given", "FROM busybox\nARG A=a\nENV SAID=[$A]\n", build_args={"A": ""}),
    Case("arg-several-in-one", "FROM busybox\nARG A=1 B=2 C\nLABEL all=$A-$B-$C\n", build_args={"C": "3"}),
    Case(
        "arg-again",
        "FROM busybox\nARG A=1\nARG A=2\nLABEL a=$A\nARG A\nLABEL b=$A\n",
        differs={"^config Labels": "a bare ARG takes the value away with the classic builder"},
    ),
    Case("arg-does-not-reach-the-next-stage", "FROM busybox AS x\nARG A=1\nFROM busybox\nLABEL a=[$A]\n"),
    Case(
        "arg-reaches-stages-on-it",
        "FROM busybox AS x\nARG A=1\nFROM x\nLABEL a=[$A]\nRUN echo $A >/a\n",
        ours={
            r"^history 3: .RUN \|1 A=1": "the argument of the stage below is in its environment, and so in its history"
        },
        differs={"^config Labels|^file /a": "BuildKit gives a stage the arguments of the one below"},
    ),
    Case(
        "env-over-arg",
        "FROM busybox\nARG A=arg\nENV A=env\nRUN echo $A >/said\nLABEL a=$A\nARG A=later\nLABEL b=$A\n",
        build_args={"A": "given"},
        differs={"^config Labels": "with BuildKit an ARG after an ENV counts, as it does not in the reference"},
        ours={"^config Labels|^history 6": "the reference: ENV always overrides ARG"},
    ),
    Case("env-from-arg", "FROM busybox\nARG A\nENV A=${A:-v1}\nRUN echo $A >/said\n", build_args={"A": "v2"}),
    Case(
        "arg-unused-is-not-in-history",
        "FROM busybox\nARG A=1\nRUN true\nARG B=2\nRUN echo $B >/b\nCOPY x /x\n",
        {"x": ""},
    ),
    Case(
        "proxy-arguments",
        "FROM busybox\nRUN echo $HTTP_PROXY $no_proxy >/proxies\nRUN env | grep -i ftp >/ftp || true\n",
        build_args={"HTTP_PROXY": "http://127.0.0.1:1", "no_proxy": "localhost", "FTP_PROXY": "ftp://127.0.0.1"},
        differs={"^file /ftp": "BuildKit gives each by its name in small letters, too"},
    ),
    Case(
        "proxy-argument-declared",
        "FROM busybox\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY >/proxy\nLABEL p=$HTTP_PROXY\n",
        build_args={"HTTP_PROXY": "http://127.0.0.1:1"},
    ),
    Case(
        "platform-arguments",
        "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETPLATFORM\nARG TARGETOS TARGETARCH TARGETVARIANT\n"
        "ARG BUILDPLATFORM BUILDOS BUILDARCH BUILDVARIANT\n"
        "RUN echo $TARGETPLATFORM $TARGETOS $TARGETARCH [$TARGETVARIANT] >/target\n"
        "RUN echo $BUILDPLATFORM $BUILDOS $BUILDARCH >/build\n",
        builders=BUILDKIT,
    ),
    Case(
        "platform-arguments-undeclared",
        "FROM busybox\nRUN echo [$TARGETPLATFORM] >/target\nLABEL a=[$TARGETARCH]\n",
        builders=BUILDKIT,
    ),
    Case(
        "target-stage-argument",
        "FROM busybox AS last\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE >/stage\n",
        target="last",
        builders=NEITHER,
        expected=Expected(files={"stage": "last\n"}, layers=1),
    ),
    Case(
        "from-a-link-in-a-stage",
        "FROM busybox AS made\nCOPY tree /tree\nFROM scratch\nCOPY --from=made /tree/link/file /file\n",
        {"tree/real/file": "found", "tree/link": Link("real")},
    ),
    Case(
        "build-labels",
        "FROM busybox\nLABEL a=file b=file\n",
        labels={"b": "given", "c": "with spaces"},
        differs={"^history": "the classic builder makes instructions of them"},
    ),
)
