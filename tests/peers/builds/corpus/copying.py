"""COPY: which files, and where they go."""

from __future__ import annotations

from tests.peers.builds.case import BUILDKIT, CLASSIC, Case, Directory, File, Files, Hard, Link

TREE: Files = {
    "a.txt": "a",
    "b.txt": File("b", mode=0o600, uid=7, gid=8),
    "run.sh": File("#!/bin/sh\n", mode=0o755),
    "d/one": "1",
    "d/two.txt": File("2", mode=0o4755),
    "d/sub/three": "3",
    "d/empty": Directory(0o750, 5, 6),
    "d/link": Link("one"),
    "d/absolute": Link("/a.txt"),
    "d/dangling": Link("nowhere"),
    "to-d": Link("d"),
    "to-a": Link("a.txt"),
}
LINKED = (
    "FROM busybox\nRUN mkdir -p /real/deep && ln -s /real /link && ln -s deep /real/inner && ln -s /later /dangling\n"
)

CASES = (
    Case("copy-file", "FROM busybox\nCOPY a.txt /x\nCOPY b.txt /\nCOPY run.sh /new/dir/\n", TREE),
    Case("copy-file-to-a-directory-that-is-there", "FROM busybox\nCOPY a.txt /etc\nCOPY b.txt /etc/\n", TREE),
    Case("copy-several", "FROM busybox\nCOPY a.txt b.txt run.sh /to/\n", TREE),
    Case("copy-directory", "FROM busybox\nCOPY d /to\n", TREE),
    Case("copy-directory-with-slashes", "FROM busybox\nCOPY d/ /to/\nCOPY ./d/sub/ /etc\n", TREE),
    Case("copy-file-and-directory", "FROM busybox\nCOPY a.txt d /to/\n", TREE),
    Case("copy-everything", "FROM busybox\nCOPY . /all\n", TREE),
    Case("copy-everything-to-the-root", "FROM busybox\nCOPY / /\n", TREE),
    Case("copy-absolute-source", "FROM busybox\nCOPY /d/one /x\nCOPY /d/../a.txt /y\n", TREE),
    Case("copy-outside-the-context", "FROM busybox\nCOPY ../a.txt ../../d/one /x/\n", TREE, builders=BUILDKIT),
    Case("copy-wildcards", "FROM busybox\nCOPY *.txt /star/\nCOPY ?.txt /mark/\nCOPY [ab].t* /set/\n", TREE),
    # BuildKit stumbles over files beside the directories that match.
    Case("copy-wildcard-in-the-middle", "FROM busybox\nCOPY */sub/th* /deep/\n", TREE, builders=CLASSIC),
    Case(
        "copy-wildcard-directories",
        "FROM busybox\nCOPY d/* /to/\n",
        {"d/a/b": "b", "d/a/c/d": "d", "d/e": "e", "d/link": Link("e"), "d/to-a": Link("a")},
    ),
    Case(
        "copy-wildcard-without-a-match",
        "FROM busybox\nCOPY *.none /x/\n",
        TREE,
        builders=BUILDKIT,
        ours={r"^refused: .*nothing in the context matches": "as with the classic builder: most likely a mistake"},
    ),
    Case("copy-wildcards-of-which-one-matches", "FROM busybox\nCOPY a.txt *.none /y/\nCOPY *.no* *.txt /z/\n", TREE),
    Case("copy-wildcard-and-a-dangling-link", "FROM busybox\nCOPY d/dang* /to/\n", TREE, refused=True),
    Case("copy-wildcard-one", "FROM busybox\nCOPY r*.sh /run\nCOPY a.* /etc/hostfile\n", TREE),
    Case(
        "copy-brackets-escaped",
        "FROM busybox\nCOPY arr[[]0].txt /x\nCOPY [^n]ot /y/\n",
        {"arr[0].txt": "brackets", "arr0.txt": "none", "not": "n", "dot": "d"},
    ),
    Case(
        "copy-relative",
        "FROM busybox\nWORKDIR /w\nCOPY a.txt .\nCOPY a.txt rel/\nCOPY a.txt ./named\nCOPY d ../up\n",
        TREE,
    ),
    Case("copy-relative-without-workdir", "FROM busybox\nCOPY a.txt .\nCOPY a.txt x/y/z\n", TREE),
    Case("copy-relative-scratch", "FROM scratch\nCOPY a.txt .\nCOPY d x\n", TREE),
    Case("copy-json", 'FROM busybox\nCOPY ["a.txt", "d", "/to here/"]\nCOPY [ "a.txt" , "/w" ]\n', TREE),
    Case("copy-space-escaped", "FROM busybox\nCOPY with\\ space /escaped\n", {"with space": "s"}, refused=True),
    Case(
        "copy-spaces-and-unicode",
        'FROM busybox\nCOPY ["with space", "/to it"]\nCOPY grüße ☃ /ü/\n',
        {"with space": "s", "grüße": "g", "☃": "snow"},
    ),
    Case("copy-variables", "FROM busybox\nARG N=a\nENV D=/var/x\nCOPY ${N}.txt $D/\nCOPY $N.txt ${D}y\n", TREE),
    Case("copy-link-as-source", "FROM busybox\nCOPY to-a /x\nCOPY to-d /y\nCOPY d/link /z/\n", TREE),
    Case("copy-links-by-wildcard", "FROM busybox\nCOPY to-* /links/\n", TREE),
    Case("copy-through-a-link", "FROM busybox\nCOPY to-d/one /x\n", TREE),
    # BuildKit finds nothing below the first level there.
    Case(
        "copy-directory-through-a-link",
        "FROM busybox\nCOPY to-d/sub /y\nCOPY to-d/sub/three /z\n",
        TREE,
        builders=CLASSIC,
    ),
    Case("copy-absolute-link-in-the-context", "FROM busybox\nCOPY d/absolute /x\n", TREE),
    Case("copy-to-a-linked-directory", LINKED + "COPY a.txt /link\nCOPY b.txt /link/\nCOPY d /link/inner\n", TREE),
    Case(
        "copy-below-a-linked-directory",
        LINKED + "COPY a.txt /link/x\nCOPY b.txt /link/inner/y\nCOPY d /link/new\n",
        TREE,
    ),
    Case("copy-to-a-dangling-link", LINKED + "COPY a.txt /dangling\n", TREE),
    Case("copy-directory-to-a-dangling-link", LINKED + "COPY d /dangling\n", TREE),
    Case("copy-over-a-file", "FROM busybox\nCOPY a.txt /x\nCOPY b.txt /x\n", TREE),
    Case("copy-over-a-link", "FROM busybox\nRUN echo kept >/kept && ln -s kept /x\nCOPY a.txt /x\n", TREE),
    Case(
        "copy-file-over-a-directory",
        "FROM busybox\nRUN mkdir -p /to/one\nCOPY d /to\n",
        TREE,
        builders=BUILDKIT,
        refused=True,
    ),
    Case("copy-directory-over-a-file", "FROM busybox\nRUN touch /x\nCOPY d /x\n", TREE, refused=True),
    Case(
        "copy-directory-over-a-file-inside",
        "FROM busybox\nRUN mkdir /to && touch /to/sub\nCOPY d /to\n",
        TREE,
        builders=BUILDKIT,
        refused=True,
    ),
    Case(
        "copy-link-over-a-directory",
        "FROM busybox\nRUN mkdir -p /to/link/x\nCOPY d /to\n",
        TREE,
        builders=BUILDKIT,
        refused=True,
    ),
    Case(
        "copy-merges",
        "FROM busybox\nRUN mkdir -p /to/sub && echo 0 >/to/zero && echo 0 >/to/sub/three && chmod 700 /to/sub\n"
        "COPY d /to\n",
        TREE,
    ),
    Case(
        "copy-keeps-modes-of-what-is-there",
        "FROM busybox\nRUN mkdir -m 700 /to && chown 33:33 /to\nCOPY a.txt /to/\nCOPY d /to\n",
        TREE,
    ),
    Case("copy-the-same-again", "FROM busybox\nCOPY a.txt /x\nCOPY a.txt /x\n", TREE),
    Case("copy-nothing-of-it", "FROM busybox\nCOPY d/empty /e\nCOPY d/empty /f/\n", TREE),
    Case("copy-hard-links", "FROM busybox\nCOPY h /h\n", {"h/a": "same", "h/b": Hard("a"), "h/c": "other"}),
    Case(
        "copy-times",
        "FROM busybox\nCOPY . /x\n",
        {
            "old": File("o", mtime=0),
            "fraction": File("f", mtime=1_600_000_000.25),
            "older": File("o", mtime=946_684_800),
        },
    ),
    Case(
        "copy-special-modes",
        "FROM busybox\nCOPY m /m\n",
        {
            "m/suid": File("", 0o4711),
            "m/sgid": File("", 0o2755),
            "m/sticky": Directory(0o1777),
            "m/none": File("n", 0),
        },
    ),
    Case("copy-large-and-empty", "FROM busybox\nCOPY . /x\n", {"large": bytes(range(256)) * 4096, "empty": ""}),
    Case("copy-as-another-user", "FROM busybox\nUSER web\nWORKDIR /w\nCOPY a.txt .\nRUN id -u >/tmp/id\n", TREE),
    Case("copy-two-onto-one-name", "FROM busybox\nCOPY x/f y/f /to/\n", {"x/f": "x", "y/f": "y"}),
    Case(
        "copy-dots",
        "FROM busybox\nCOPY .hidden d/.x /to/\nCOPY d/* /star/\nCOPY . /all\n",
        {".hidden": "h", "d/.x": "x", "d/y": "y"},
    ),
)
