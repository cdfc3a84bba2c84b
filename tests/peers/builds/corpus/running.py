"""RUN: its forms, its mounts, its network, and what of it stays."""

from __future__ import annotations

from tests.peers.builds.case import BUILDKIT, NEITHER, Case, Expected, File

#: For what is mounted in RUN a directory is made, and taken away again where nothing is in it.
STUBS = {
    r": missing, directory, 0755, 0:0$": "BuildKit of that age leaves the directories that it has made to mount on"
}

CASES = (
    Case("run-shell", "FROM busybox\nRUN echo \"$HOME\" 'quoted  words' >/said && exit 0\n"),
    Case("run-exec", 'FROM busybox\nRUN ["sh", "-c", "echo \\"$0\\" >/said", "a word"]\n'),
    Case("run-exec-no-shell", 'FROM busybox\nENV A=1\nRUN ["touch", "/$A", "/b c"]\n'),
    Case("run-like-json", "FROM busybox\nRUN [ -d /bin ] && echo yes >/said\n"),
    Case("run-several-lines", "FROM busybox\nRUN echo one >/a && \\\n    echo two \\\n      >>/a\n"),
    Case("run-nothing", 'FROM busybox\nRUN true\nRUN ["true"]\n'),
    Case(
        "run-removes",
        "FROM busybox\nCOPY tree /tree\nRUN rm /tree/a /bin/vi && rm -r /tree/d\n"
        "RUN rm -r /tree && mkdir /tree && touch /tree/new\n",
        {"tree/a": "a", "tree/b": "b", "tree/d/c": "c"},
    ),
    Case(
        "run-modes-and-owners",
        "FROM busybox\nRUN umask 077 && mkdir /m && touch /m/a && chown 33:50 /m && chmod 4755 /m/a && mkfifo /m/f "
        "&& ln -s nowhere /m/l && ln /m/a /m/b && mknod /m/null c 1 3\n",
    ),
    Case("run-changes-mode-only", "FROM busybox\nCOPY f /f\nRUN chmod 600 /f\nRUN chown web:staff /f\n", {"f": "x"}),
    Case(
        "run-moves-a-directory",
        "FROM busybox\nCOPY d /d\nRUN mv /d /e\n",
        {"d/one": "1", "d/sub/two": "2"},
    ),
    Case("run-in-tmp", "FROM busybox\nRUN touch /tmp/x /run/y /dev/shm/z /var/w && echo >/dev/null\n"),
    Case("run-hosts", "FROM busybox\nRUN test -e /etc/hosts -a -e /etc/resolv.conf && touch /x\n"),
    Case(
        "run-environment",
        "FROM busybox\nENV A=1 PATH=/own:$PATH\nARG B=2\nRUN env | grep -v HOSTNAME | sort >/env\n",
    ),
    Case(
        "run-user-environment", "FROM busybox\nUSER web\nWORKDIR /tmp\nRUN env | grep -E 'HOME|USER|PWD' | sort >env\n"
    ),
    Case("run-umask", "FROM busybox\nRUN umask >/umask; touch /a; mkdir /b\n"),
    Case("run-stdin-is-empty", "FROM busybox\nRUN cat >/in; test -t 0 || echo no terminal >>/in\n"),
    Case(
        "run-limits-and-rights",
        "FROM busybox\nRUN grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status >/rights\n",
    ),
    Case(
        "run-security-sandbox",
        "FROM busybox\nRUN --security=sandbox echo x >/said\n",
        builders=NEITHER,
        expected=Expected(files={"said": "x\n"}, layers=1),
    ),
    Case(
        "run-security-insecure",
        "FROM busybox\nRUN --security=insecure true\n",
        builders=NEITHER,
        refused=True,
    ),
    Case(
        "run-network-none",
        "FROM busybox\nRUN --network=none ls /sys/class/net >/links\n",
        builders=NEITHER,
        expected=Expected(files={"links": "lo\n"}, layers=1),
    ),
    Case(
        "run-network-default",
        "FROM busybox\nRUN --network=default true\n",
        builders=NEITHER,
        expected=Expected(layers=1),
    ),
    Case(
        "run-mount-bind",
        "FROM busybox\nRUN --mount=type=bind,target=/in cat /in/a /in/d/b >/said\n"
        "RUN --mount=source=d,target=/in ls /in >>/said\n",
        {"a": "a\n", "d/b": "b\n"},
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-bind-relative-target",
        "FROM busybox\nWORKDIR /w\nRUN --mount=target=in,src=a cat in >/said\n",
        {"a": "a\n"},
        builders=NEITHER,
        expected=Expected(files={"said": "a\n"}),
    ),
    Case(
        "run-mount-bind-writable",
        "FROM busybox\nRUN --mount=target=/in,rw echo changed >/in/a && cp /in/a /copy\n"
        "RUN --mount=target=/in cat /in/a >/again\n",
        {"a": "original\n"},
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-bind-read-only",
        "FROM busybox\nRUN --mount=target=/in (echo x >/in/a) 2>/dev/null || echo refused >/said\n",
        {"a": "a"},
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-bind-from",
        "FROM busybox AS made\nRUN mkdir /d && echo made >/d/it\nFROM busybox\n"
        "RUN --mount=type=bind,from=made,source=/d,target=/in cat /in/it >/said\n"
        "RUN --mount=from=busybox,target=/b ls -d /b/bin >>/said\n",
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-leaves-nothing",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/mnt echo x >/mnt/x\nRUN ls -A /mnt >/listing\n",
        builders=BUILDKIT,
    ),
    Case(
        "run-mount-tmpfs",
        "FROM busybox\n"
        "RUN --mount=type=tmpfs,target=/t echo x >/t/x && cp /t/x /x && grep -c ' /t tmpfs' /proc/mounts >/n\n",
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-tmpfs-size",
        "FROM busybox\n"
        "RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -n1 | tr -s ' ' | cut -d ' ' -f 2 >/size\n",
        builders=NEITHER,
        expected=Expected(files={"size": "1024\n"}),
    ),
    Case(
        "run-mount-cache",
        "FROM busybox\nRUN --mount=type=cache,target=/c echo one >/c/one\n"
        "RUN --mount=type=cache,target=/c cat /c/one >/said\n",
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-cache-owned",
        "FROM busybox\nUSER web\nRUN --mount=type=cache,target=/c,id=own,uid=33,gid=50,mode=0700 "
        "touch /c/x && stat -c '%a %u %g' /c >/tmp/said\n",
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-cache-from",
        "FROM busybox AS made\nCOPY seed /seed\nFROM busybox\n"
        "RUN --mount=type=cache,id=seeded,from=made,source=/seed,target=/c cat /c/f >/said\n",
        {"seed/f": "seeded\n"},
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-cache-by-id",
        "FROM busybox\nRUN --mount=type=cache,id=a,target=/x echo a >/x/a\n"
        "RUN --mount=type=cache,id=a,target=/y,sharing=locked cat /y/a >/said\n"
        "RUN --mount=type=cache,id=a,target=/y,readonly (touch /y/b) 2>/dev/null || echo refused >>/said\n"
        "RUN --mount=type=cache,id=private-one,target=/y,sharing=private ls -A /y >>/said\n",
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-secret",
        "FROM busybox\nRUN --mount=type=secret,id=word cat /run/secrets/word >/said && "
        "stat -c '%a %u %g' /run/secrets/word >>/said\nRUN ls /run/secrets/word 2>/dev/null || echo gone >>/said\n",
        secrets={"word": "sesame\n"},
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-mount-secret-elsewhere",
        "FROM busybox\nRUN --mount=type=secret,id=word,target=/etc/word,mode=0440,uid=33,gid=50 "
        "stat -c '%a %u %g' /etc/word >/said\n",
        secrets={"word": "sesame"},
        builders=BUILDKIT,
    ),
    Case(
        "run-mount-secret-absent",
        "FROM busybox\nRUN --mount=type=secret,id=word ls /run/secrets/word 2>/dev/null || echo absent >/said\n",
        builders=BUILDKIT,
    ),
    Case(
        "run-mount-secret-required",
        "FROM busybox\nRUN --mount=type=secret,id=word,required true\n",
        builders=BUILDKIT,
        refused=True,
    ),
    Case(
        "run-mount-secret-in-the-environment",
        "FROM busybox\nRUN --mount=type=secret,id=word,env=WORD echo $WORD | tr a-z A-Z >/said\n"
        "RUN echo [$WORD] >>/said\n",
        secrets={"word": "sesame"},
        builders=NEITHER,
        expected=Expected(files={"said": "SESAME\n[]\n"}),
    ),
    Case(
        "run-mount-ssh-not-required",
        "FROM busybox\nRUN --mount=type=ssh echo [$SSH_AUTH_SOCK] >/said\n",
        builders=BUILDKIT,
        ours={r"^refused: .*agents are not forwarded": "said clearly, whether it is required or not"},
    ),
    Case(
        "run-several-mounts",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t --mount=type=bind,target=/in --mount=type=cache,target=/k "
        "cp /in/a /t/a && cp /t/a /k/a && cp /k/a /a\n",
        {"a": File("a", mode=0o640)},
        builders=BUILDKIT,
        ours=STUBS,
    ),
    Case(
        "run-heredoc",
        'FROM busybox\nENV A=1\nRUN <<EOF\necho $A "two  words" >/said\nfor i in 1 2; do\n  echo $i >>/said\ndone\n'
        "EOF\n",
        builders=NEITHER,
        expected=Expected(files={"said": "1 two  words\n1\n2\n"}, layers=1),
    ),
    Case(
        "run-heredoc-script",
        'FROM busybox\nRUN <<EOF\n#!/bin/awk -f\nBEGIN { print "by awk" > "/said" }\nEOF\n',
        builders=NEITHER,
        expected=Expected(files={"said": "by awk\n"}, layers=1),
    ),
    Case(
        "run-heredoc-into-a-command",
        "FROM busybox\nRUN cat <<EOF >/a && cat <<-'X' >/b\n$HOME\nEOF\n\t\ttabs $HOME\n\tX\nRUN sh <<'END'\n"
        "echo $0 >/c\nEND\n",
        builders=NEITHER,
        expected=Expected(files={"a": "/root\n", "b": "tabs $HOME\n", "c": "sh\n"}, layers=2),
    ),
    Case(
        "run-heredoc-fails",
        "FROM busybox\nRUN <<EOF\nset -e\nfalse\ntouch /x\nEOF\n",
        builders=NEITHER,
        refused=True,
    ),
)
