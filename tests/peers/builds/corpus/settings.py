"""What changes the config, and nothing or little else."""

from __future__ import annotations

from tests.peers.builds.case import BUILDKIT, CLASSIC, CLASSIC_FIRST, NEITHER, Case, Expected

#: S has a value, E an empty one, N none.
MODIFIERS = "${S:-d} ${N:-d} ${E:-d} | ${S:+d} ${N:+d} ${E:+d} | ${N:-${S}/x} ${N:-} ${S:-a b}"
#: Without the colon an empty value is a value.
UNSET = "${S-d} ${N-d} ${E-d} | ${S+d} ${N+d} ${E+d}"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CASES = (
    Case("env", 'FROM busybox\nENV A=1 B="two words" C=three\\ words D=\'single $A\' E=\nENV F "old  form" $A\n'),
    Case("env-old-form", "FROM busybox\nENV A   b  c=d # no comment\nENV B $A\nENV C 'q'\nENV D \"x y\"\n"),
    Case("env-one-line-one-value", "FROM busybox\nENV A=1\nENV A=2 B=$A\nENV C=$A D=$B\n"),
    Case("env-again", "FROM busybox\nENV A=1 B=2\nENV A=3\n"),
    Case("env-expansions", f'FROM busybox\nENV S=set E=\nENV X="{MODIFIERS}"\n'),
    Case(
        "env-expansions-of-what-is-not-set",
        f'FROM busybox\nENV S=set E=\nENV X="{UNSET}"\n',
        builders=NEITHER,
        expected=Expected(config={"Env": [PATH, "S=set", "E=", "X=set d  | d  d"]}),
    ),
    Case(
        "env-escapes",
        'FROM busybox\nENV A=1\nENV B=\\$A C="\\$A $A" D=\'$A\' E=a\\\\b F=${A}b G=$Ab H=$A-$A I=\\"q\\" J="a\\"b"\n',
    ),
    Case("env-path", "FROM busybox\nENV PATH=/opt/bin:$PATH\nRUN echo $PATH >/path\n"),
    Case("env-quotes-inside", 'FROM busybox\nENV A=a"b c"d B=\'x\'"y"z C="it\'s" D=\'say "it"\'\n'),
    Case("env-lines", 'FROM busybox\nENV A=1 \\\n    B=2 \\\n    # comment\n    C=3\nENV D="a\\\nb"\n'),
    Case("env-unicode", "FROM busybox\nENV A=grüße B=☃ Ü=1\n"),
    Case(
        "env-patterns",
        "FROM busybox\nENV V=foobarbaz P=/a/b/c.txt\n"
        "ENV A=${V#foo} B=${V#*b} C=${V##*b} D=${P%/*} E=${P%%/b*} F=${V/ba/X} G=${V//ba/X} H=${P%.txt} I=${V#?oo} "
        "J=${V/nothing/X}\n",
        builders=NEITHER,
        expected=Expected(
            config={
                "Env": [
                    PATH,
                    "V=foobarbaz",
                    "P=/a/b/c.txt",
                    "A=barbaz",
                    "B=arbaz",
                    "C=az",
                    "D=/a/b",
                    "E=/a",
                    "F=fooXrbaz",
                    "G=fooXrXz",
                    "H=/a/b/c",
                    "I=barbaz",
                    "J=foobarbaz",
                ]
            }
        ),
    ),
    Case("env-required-is-there", 'FROM busybox\nARG A=1\nENV B="${A:?must be set}"\n', builders=BUILDKIT),
    Case("env-required-is-absent", 'FROM busybox\nENV B="${A:?must be set}"\n', refused=True),
    Case("label", 'FROM busybox\nLABEL a=1 "b c"="d e" f=\'g\' com.example.x="line\\\ntwo"\nLABEL a=2 h=\n'),
    Case("label-old-form", "FROM busybox\nLABEL a b c\nLABEL key  two  words\n"),
    Case("label-variables", "FROM busybox\nARG A=1\nENV B=2\nLABEL k$A=\"$A $B\" '$A'='$B' x=${C:-c}\n"),
    Case("label-order", "FROM busybox\nLABEL z=1 y=2 x=3\nLABEL a=4 z=5\n"),
    Case("expose", "FROM busybox\nEXPOSE 80 443/tcp 53/udp 53/UDP 132/sctp\nEXPOSE 80\n"),
    Case("expose-ranges", "FROM busybox\nEXPOSE 8000-8003 9000-9001/udp\n"),
    Case("expose-variables", "FROM busybox\nARG P=81\nENV R=90-91\nEXPOSE $P ${R}/udp ${X:-7}\n"),
    Case(
        "user",
        "FROM busybox\nUSER web\nRUN id >/tmp/id\nUSER 33:50\nRUN id >/tmp/id2\nUSER web:staff\n"
        "RUN id >/tmp/id3; touch /tmp/f\n",
        builders=CLASSIC_FIRST,
        differs={"^file /tmp/id": "BuildKit of that age gives no further groups"},
    ),
    Case(
        "user-numbers-unknown",
        "FROM busybox\nUSER 1234\nRUN id >/tmp/id\nUSER 1234:5678\nRUN id >/tmp/id2\nUSER nobody:50\n"
        'RUN ["touch", "/tmp/x"]\n',
        builders=CLASSIC_FIRST,
        differs={"^file /tmp/id": "BuildKit of that age gives no further groups"},
    ),
    Case("user-variable", "FROM busybox\nARG U=web\nUSER ${U}:${G:-staff}\n"),
    Case("user-unknown-is-not-looked-up", "FROM busybox\nUSER not-there\nCOPY x /x\n", {"x": ""}),
    Case("user-unknown-runs", "FROM busybox\nUSER not-there\nRUN true\n", refused=True),
    Case("user-back-to-root", "FROM busybox\nUSER web\nUSER root\nRUN touch /x\nUSER 0\n"),
    Case("workdir", "FROM busybox\nWORKDIR /a\nWORKDIR b\nWORKDIR ./c/../d\nRUN pwd >here\n"),
    Case("workdir-relative-first", "FROM busybox\nWORKDIR rel\nRUN pwd >here\n"),
    Case("workdir-variables", "FROM busybox\nENV D=/srv\nARG N=app\nWORKDIR $D/${N}\nWORKDIR ${X:-x}\n"),
    Case(
        "workdir-that-is-there",
        "FROM busybox\nRUN mkdir -m 700 /w && chown 33:50 /w\nWORKDIR /w\nWORKDIR /etc/\n",
        ours={"^config WorkingDir: ./etc., not ./etc/": "a path in its plain form"},
    ),
    Case(
        "workdir-as-a-user",
        "FROM busybox\nUSER web\nWORKDIR /made\nRUN stat -c '%u %g %a' /made >/tmp/said\n",
        differs={"^file /tmp/said": "the owner of WORKDIR"},
    ),
    Case(
        "workdir-through-a-link", "FROM busybox\nRUN mkdir /real && ln -s /real /link\nWORKDIR /link/sub\nRUN touch x\n"
    ),
    Case(
        "workdir-slash-at-the-end",
        'FROM busybox\nWORKDIR /a//b/\nWORKDIR .\nWORKDIR "/with space"\nRUN touch x\n',
        ours={r"^history 1: .WORKDIR /a/b., not .WORKDIR /a//b/": "the directory as the config has it"},
    ),
    Case("workdir-scratch", "FROM scratch\nWORKDIR /a/b\nCOPY x .\n", {"x": ""}),
    Case("workdir-of-two-words", "FROM busybox\nWORKDIR a b\nRUN pwd >/here\n"),
    Case("user-of-two-words", "FROM busybox\nUSER a b\n"),
    Case("workdir-root", "FROM busybox\nWORKDIR /\n"),
    Case("workdir-on-a-file", "FROM busybox\nRUN touch /f\nWORKDIR /f\n", refused=True),
    Case("volume", 'FROM busybox\nVOLUME /a /b\nVOLUME ["/c d", "/e"]\nARG V=/v\nVOLUME $V ${W:-/w}\nVOLUME /a\n'),
    Case(
        "volume-changed-by-run",
        "FROM busybox\nRUN mkdir /v && echo before >/v/before\nVOLUME /v\n"
        "RUN echo after >/v/after; rm /v/before; echo x >/x\n",
        builders=CLASSIC,
    ),
    Case("volume-changed-by-copy", "FROM busybox\nVOLUME /v\nCOPY x /v/x\nRUN ls /v >/said\n", {"x": "x"}),
    Case(
        "volume-written-in-one-run",
        "FROM busybox\nVOLUME /v\nRUN echo 1 >/v/x && cat /v/x >/said\nRUN ls -A /v >/listing\n",
        builders=CLASSIC,
        ours={r"^file /v: missing": "what is there for a mount alone is not left in the image"},
    ),
    Case(
        "healthcheck",
        "FROM busybox\n"
        "HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --retries=4 CMD test -e /x || exit 1\n",
    ),
    Case("healthcheck-exec", 'FROM busybox\nHEALTHCHECK CMD ["test", "-e", "/x y"]\n'),
    Case("healthcheck-none", "FROM busybox\nHEALTHCHECK CMD true\nHEALTHCHECK NONE\n"),
    Case(
        "healthcheck-again",
        "FROM busybox\nHEALTHCHECK --retries=2 CMD false\nHEALTHCHECK --interval=500ms CMD true\n",
        differs={"^config Healthcheck": "the classic builder keeps what the one before has said"},
    ),
    Case(
        "healthcheck-start-interval",
        "FROM busybox\nHEALTHCHECK --start-period=10s --start-interval=2s CMD true\n",
        builders=NEITHER,
        expected=Expected(
            config={"Healthcheck": {"Test": ["CMD-SHELL", "true"], "StartPeriod": 10**10, "StartInterval": 2 * 10**9}}
        ),
    ),
    Case("healthcheck-own-shell", 'FROM busybox\nSHELL ["/bin/ash", "-c"]\nHEALTHCHECK CMD echo $HOME\n'),
    Case("stopsignal", "FROM busybox\nSTOPSIGNAL SIGKILL\nSTOPSIGNAL 3\nARG S=USR1\nSTOPSIGNAL SIG$S\n"),
    Case("stopsignal-names", "FROM busybox\nSTOPSIGNAL RTMIN+3\n"),
    Case(
        "shell",
        'FROM busybox\nSHELL ["/bin/busybox", "ash", "-exc"]\nRUN echo $0 >/said\nCMD echo hello\n'
        "ENTRYPOINT echo there\n",
    ),
    Case(
        "shell-back",
        'FROM busybox\nSHELL ["/bin/ash", "-c"]\nSHELL ["/bin/sh", "-ec"]\nRUN false || true; echo x >/x\n',
    ),
    Case("cmd-shell", 'FROM busybox\nCMD echo "$HOME"   two\n'),
    Case("cmd-exec", 'FROM busybox\nCMD ["echo", "a b", "$HOME"]\n'),
    Case("cmd-twice", 'FROM busybox\nCMD one\nCMD ["two"]\n'),
    Case("cmd-empty", "FROM busybox\nCMD one\nCMD []\n"),
    Case("entrypoint-shell", "FROM busybox\nENTRYPOINT exec top -b\n"),
    Case("entrypoint-exec", 'FROM busybox\nENTRYPOINT ["top", "-b"]\n'),
    Case("entrypoint-and-cmd", 'FROM busybox\nENTRYPOINT ["top"]\nCMD ["-b"]\n'),
    Case("cmd-and-entrypoint", 'FROM busybox\nCMD ["-b"]\nENTRYPOINT ["top"]\n'),
    Case("entrypoint-shell-cmd-shell", "FROM busybox\nENTRYPOINT top\nCMD -b\n"),
    Case("entrypoint-empty", 'FROM busybox\nENTRYPOINT ["top"]\nENTRYPOINT []\nCMD ["x"]\n'),
    Case(
        "entrypoint-resets-a-parents-cmd", 'FROM parent\nENTRYPOINT ["own"]\n', parent='FROM busybox\nCMD ["theirs"]\n'
    ),
    Case("entrypoint-resets-a-stages-cmd", 'FROM busybox AS a\nCMD ["theirs"]\nFROM a\nENTRYPOINT ["own"]\n'),
    Case(
        "entrypoint-with-own-cmd",
        'FROM parent\nCMD ["mine"]\nENTRYPOINT ["own"]\n',
        parent='FROM busybox\nCMD ["theirs"]\n',
    ),
    Case("maintainer", "FROM busybox\nMAINTAINER  Somebody Else <some@body.example>\n"),
    Case(
        "onbuild",
        "FROM parent\nRUN ls /app >/said\n",
        {"x": "x"},
        parent="FROM busybox\nONBUILD COPY x /app/\nONBUILD RUN echo triggered >/app/y\nONBUILD ENV A=1\n"
        "ONBUILD WORKDIR /app\n",
    ),
    Case("onbuild-is-kept", 'FROM busybox\nONBUILD COPY . /x\nONBUILD RUN ["a", "b"]\nonbuild env A=$B\n'),
    Case(
        "onbuild-is-gone-after",
        "FROM parent AS one\nFROM one\nLABEL a=b\n",
        parent="FROM busybox\nONBUILD RUN echo x >>/x\nONBUILD LABEL from=parent\n",
    ),
    Case("onbuild-of-a-stage", "FROM busybox AS a\nONBUILD RUN echo x >>/x\nFROM a AS b\nFROM a\nRUN cat /x >/y\n"),
    Case(
        "onbuild-with-an-argument",
        "FROM parent\nRUN cat /said\n",
        parent="FROM busybox\nONBUILD ARG A=1\nONBUILD RUN echo $A >/said\n",
        build_args={"A": "2"},
    ),
    Case("onbuild-twice", "FROM busybox\nONBUILD ONBUILD RUN true\n", refused=True),
    Case("onbuild-from", "FROM busybox\nONBUILD FROM busybox\n", refused=True),
    Case("onbuild-maintainer", "FROM busybox\nONBUILD MAINTAINER me\n", refused=True),
    Case(
        "parent-has-everything",
        "FROM parent\nENV C=3 A=again\nLABEL l=mine\nEXPOSE 2\nWORKDIR sub\n",
        parent="FROM busybox\nENV A=1 B=2\nLABEL l=theirs k=kept\nEXPOSE 1\nVOLUME /v\nUSER web\nWORKDIR /tmp\n"
        "STOPSIGNAL 9\n"
        'HEALTHCHECK CMD true\nSHELL ["/bin/ash", "-c"]\nENTRYPOINT ["e"]\nCMD ["c"]\nMAINTAINER them\n',
        differs={"^image author": "the classic builder forgets it"},
    ),
    Case(
        "every-setting-in-one",
        "FROM busybox\nENV A=1\nLABEL a=b\nEXPOSE 80\nVOLUME /v\nUSER 1:1\nWORKDIR /w\nSTOPSIGNAL 9\n"
        "HEALTHCHECK CMD true\n"
        'SHELL ["/bin/ash", "-c"]\nENTRYPOINT ["e"]\nCMD ["c"]\nMAINTAINER me\nONBUILD RUN true\n',
    ),
)
