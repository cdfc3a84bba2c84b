"""The options of COPY, and heredocs."""

from __future__ import annotations

from tests.peers.builds.case import BUILDKIT, CLASSIC, NEITHER, Case, Directory, Expected, File, Link
from tests.peers.builds.corpus.copying import LINKED, TREE
from tests.peers.builds.corpus.ignoring import PROJECT

SET_ID = {r"^file \S+: .*, [0-7]{4}, .*; not .*, [0-7]{4}, ": "BuildKit of that age heeds the last three digits only"}

CASES = (
    Case("copy-chown-numbers", "FROM busybox\nCOPY --chown=55:66 a.txt d /to/\nCOPY --chown=7 a.txt /seven\n", TREE),
    Case(
        "copy-chown-names",
        "FROM busybox\nCOPY --chown=web:staff d /to\nCOPY --chown=web a.txt /w\nCOPY --chown=33:staff a.txt /x\n",
        TREE,
    ),
    Case("copy-chown-group-only", "FROM busybox\nCOPY --chown=:staff a.txt /y\n", TREE, builders=BUILDKIT),
    Case(
        "copy-chown-new-directories",
        "FROM busybox\nCOPY --chown=web:web a.txt /p/q/r/\nCOPY --chown=5:6 d /s/t\n",
        TREE,
    ),
    Case("copy-chown-into-what-is-there", "FROM busybox\nRUN mkdir /to\nCOPY --chown=web:web d /to\n", TREE),
    Case("copy-chown-variable", "FROM busybox\nARG U=web\nCOPY --chown=$U:${G:-staff} a.txt /x\n", TREE),
    Case(
        "copy-chown-unknown", "FROM busybox\nCOPY --chown=nobody-here a.txt /x\n", TREE, builders=CLASSIC, refused=True
    ),
    Case("copy-chown-name-in-scratch", "FROM scratch\nCOPY --chown=web a.txt /x\n", TREE, refused=True),
    Case("copy-chown-number-in-scratch", "FROM scratch\nCOPY --chown=1:2 a.txt /x\n", TREE),
    Case(
        "copy-chown-own-passwd",
        "FROM busybox\nRUN echo me:x:1234:99::/: >>/etc/passwd\nCOPY --chown=me d /x\n",
        TREE,
        builders=BUILDKIT,
    ),
    Case(
        "copy-chown-from",
        "FROM busybox AS m\nRUN mkdir /d && touch /d/f && chown -R 3:4 /d\nFROM busybox\nCOPY --from=m /d /kept\n"
        "COPY --from=m --chown=web:staff /d /own\n",
    ),
    Case(
        "copy-chmod-octal",
        "FROM busybox\nCOPY --chmod=0751 a.txt /x\nCOPY --chmod=640 d /to\nCOPY --chmod=4755 a.txt /n/m/\n",
        TREE,
        builders=BUILDKIT,
        ours=SET_ID,
    ),
    Case(
        "copy-chmod-and-chown",
        "FROM busybox\nCOPY --chown=web:staff --chmod=700 d /to\n",
        TREE,
        builders=BUILDKIT,
        ours=SET_ID,
    ),
    Case(
        "copy-chmod-variable",
        "FROM busybox\nARG M=600\nCOPY --chmod=$M a.txt /x\n",
        TREE,
        builders=NEITHER,
        expected=Expected(files={"x": {"mode": 0o600}}, layers=1),
    ),
    Case(
        "copy-chmod-symbolic",
        "FROM busybox\nCOPY --chmod=u=rwX,go=rX . /to\nCOPY --chmod=+x a.txt /x\nCOPY --chmod=g=u,o-r b.txt /y\n",
        TREE,
        builders=NEITHER,
        expected=Expected(
            files={
                "to/a.txt": {"mode": 0o644},
                "to/b.txt": {"mode": 0o644},
                "to/run.sh": {"mode": 0o755},
                "to/d": {"mode": 0o755},
                "to/d/empty": {"mode": 0o755},
                "to/d/sub/three": {"mode": 0o644},
                "x": {"mode": 0o755},
                "y": {"mode": 0o660},
            },
            layers=3,
        ),
    ),
    Case("copy-chmod-wrong", "FROM busybox\nCOPY --chmod=rubbish a.txt /x\n", TREE, builders=NEITHER, refused=True),
    Case(
        "copy-link",
        "FROM busybox\nCOPY --link a.txt /x\nCOPY --link --chown=5:6 d /to/\n",
        TREE,
        builders=NEITHER,
        expected=Expected(files={"x": "a", "to/one": {"uid": 5, "gid": 6}, "to/link": {"link": "one"}}, layers=2),
    ),
    Case(
        "copy-link-does-not-follow",
        LINKED + "COPY --link a.txt /link/x\n",
        TREE,
        builders=NEITHER,
        expected=Expected(
            files={"link": {"kind": "directory"}, "link/x": "a", "real/deep": {"kind": "directory"}},
            absent=("real/x",),
            layers=2,
        ),
    ),
    Case(
        "copy-link-false",
        LINKED + "COPY --link=false a.txt /link/x\n",
        TREE,
        builders=NEITHER,
        expected=Expected(files={"link": {"kind": "link"}, "real/x": "a"}),
    ),
    Case(
        "copy-link-names-are-refused",
        "FROM busybox\nCOPY --link --chown=web a.txt /x\n",
        TREE,
        builders=NEITHER,
        refused=True,
    ),
    Case(
        "copy-parents",
        "FROM scratch\nCOPY ./x/a.txt ./y/a.txt /no_parents/\nCOPY --parents ./x/a.txt ./y/a.txt /parents/\n",
        {"x/a.txt": "x", "y/a.txt": "y"},
        builders=NEITHER,
        expected=Expected(
            files={"no_parents/a.txt": "y", "parents/x/a.txt": "x", "parents/y/a.txt": "y"},
            absent=("parents/a.txt", "no_parents/x"),
            layers=2,
        ),
    ),
    Case(
        "copy-parents-pivot",
        "FROM scratch\nCOPY --parents ./x/./y/*.txt /parents/\n",
        {"x/y/a.txt": "a", "x/y/b.txt": "b", "x/y/c.md": "c"},
        builders=NEITHER,
        expected=Expected(
            files={"parents/y/a.txt": "a", "parents/y/b.txt": "b"}, absent=("parents/x", "parents/y/c.md"), layers=1
        ),
    ),
    Case(
        "copy-parents-anywhere",
        "FROM scratch\nCOPY --parents ./src/**/*.txt /parents/\n",
        {"src/a.txt": "a", "src/x/b.txt": "b", "src/x/y/c.txt": "c", "src/x/y/d.md": "d"},
        builders=NEITHER,
        expected=Expected(
            files={"parents/src/a.txt": "a", "parents/src/x/b.txt": "b", "parents/src/x/y/c.txt": "c"},
            absent=("parents/src/x/y/d.md",),
            layers=1,
        ),
    ),
    Case(
        "copy-parents-modes",
        "FROM scratch\nCOPY --parents private/d/f /to/\n",
        {"private": Directory(0o700), "private/d": Directory(0o711), "private/d/f": "f"},
        builders=NEITHER,
        expected=Expected(
            files={"to/private": {"mode": 0o700}, "to/private/d": {"mode": 0o711}, "to/private/d/f": "f"}
        ),
    ),
    Case(
        "copy-parents-from",
        "FROM busybox AS m\nRUN mkdir -p /a/b/c && echo f >/a/b/c/f\nFROM scratch\n"
        "COPY --parents --from=m /a/./b/c /to/\n",
        builders=NEITHER,
        expected=Expected(files={"to/b/c/f": "f\n"}, absent=("to/a", "to/f"), layers=1),
    ),
    Case(
        "copy-exclude",
        "FROM busybox\nCOPY --exclude=*.txt hom* /to/\nCOPY --exclude=*.txt --exclude=*.md hom* /both/\n",
        {"home.txt": "t", "home.md": "m", "home": "h", "other": "o"},
        builders=NEITHER,
        expected=Expected(
            files={"to/home": "h", "to/home.md": "m", "both/home": "h"},
            absent=("to/home.txt", "both/home.txt", "both/home.md", "to/other"),
            layers=2,
        ),
    ),
    Case(
        "copy-exclude-in-directories",
        "FROM busybox\nCOPY --exclude=**/*.pyc --exclude=src/deep . /all\n",
        PROJECT,
        builders=NEITHER,
        expected=Expected(
            files={"all/src/a.py": "a", "all/main.py": "m"}, absent=("all/main.pyc", "all/src/a.pyc", "all/src/deep")
        ),
    ),
    Case(
        "copy-from-chmod",
        "FROM busybox AS m\nRUN echo x >/x\nFROM scratch\nCOPY --from=m --chmod=111 /x /y\n",
        builders=BUILDKIT,
    ),
    Case(
        "copy-heredoc",
        "FROM busybox\nENV A=1\nCOPY <<EOF /said\n$A \"quoted\" ${B:-two}\nEOF\nCOPY <<-'RAW' /raw\n\t$A\n\tRAW\n",
        builders=NEITHER,
        expected=Expected(files={"said": '1 "quoted" two\n', "raw": "$A\n"}, layers=2),
    ),
    Case(
        "copy-heredocs-several",
        "FROM busybox\nCOPY --chmod=0755 --chown=5:6 <<one <<two plain /to/\nfirst\none\nsecond\ntwo\n",
        {"plain": "p"},
        builders=NEITHER,
        expected=Expected(files={"to/one": "first\n", "to/two": "second\n", "to/plain": "p"}, layers=1),
    ),
    Case(
        "copy-heredoc-modes",
        "FROM busybox\nCOPY <<f /x\ng\nf\nCOPY --chmod=0700 --chown=5:6 <<f /y\ng\nf\n",
        builders=NEITHER,
        expected=Expected(files={"x": {"mode": 0o644, "uid": 0, "gid": 0}, "y": {"mode": 0o700, "uid": 5, "gid": 6}}),
    ),
    Case(
        "copy-link-that-leaves", "FROM busybox\nCOPY p /p\n", {"p/file": File("x", 0o666), "p/link": Link("../../up")}
    ),
)
