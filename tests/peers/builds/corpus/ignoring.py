"""What .dockerignore leaves out."""

from __future__ import annotations

from tests.peers.builds.case import BUILDKIT, Case, Files

PROJECT: Files = {
    "README.md": "r",
    "main.py": "m",
    "main.pyc": "c",
    "src/a.py": "a",
    "src/a.pyc": "c",
    "src/deep/er/b.py": "b",
    "src/deep/er/b.pyc": "c",
    "src/deep/notes.md": "n",
    "node_modules/x/index.js": "x",
    "logs/one.log": "1",
    "logs/keep.log": "k",
    "logs/old/two.log": "2",
    ".git/HEAD": "ref",
    ".env": "secret",
}


def _ignoring(name: str, text: str | bytes, dockerfile: str = "FROM busybox\nCOPY . /all\n", **more: object) -> Case:
    return Case(f"ignore-{name}", dockerfile, {**PROJECT, ".dockerignore": text}, **more)  # type: ignore[arg-type]


CASES = (
    _ignoring("names", "node_modules\n.git\nlogs/*.log\n"),
    _ignoring("anywhere", "**/*.pyc\n**/deep\n"),
    _ignoring("exceptions", "logs\n!logs/keep.log\n*.md\n!README.md\n"),
    _ignoring("exceptions-in-order", "!main.py\nmain.*\n**/*.py\n!src/**/b.py\n"),
    _ignoring("everything-but", "*\n!src\nsrc/deep\n"),
    _ignoring(
        "double-star-but",
        "**\n!src/**/*.py\n!main.py\n",
        ours={r"^file /all/src/deep": "docker of that age does not look into directories for an exception with stars"},
    ),
    _ignoring("comments-and-blanks", "# comment\n\n  main.py  \n\t\n#README.md\n/src/\n"),
    _ignoring("itself", "Dockerfile\n.dockerignore\n*.pyc\n"),
    _ignoring("dots", "./main.py\n../README.md\nsrc/../logs\n.\n"),
    _ignoring("question-marks", "main.py?\nsrc/?.py\n[m-n]ode_modules\n"),
    _ignoring("crlf-and-mark", b"\xef\xbb\xbfmain.py\r\nsrc\r\n"),
    _ignoring("escaped", "\\.env\nmain\\.py\n"),
    _ignoring("wrong-pattern", "[a\n", refused=True),
    _ignoring("copied-by-name", "main.py\n", "FROM busybox\nCOPY main.py /x\n", refused=True),
    _ignoring("wildcards-of-copy", "*.md\n", "FROM busybox\nCOPY m*.* /x/\nCOPY src/*/*.md /y/\n"),
    _ignoring("nothing-left", "src\n", "FROM busybox\nCOPY src /x\n", refused=True),
    Case(
        "ignore-of-a-dockerfile",
        "FROM busybox\nCOPY . /all\n",
        {**PROJECT, ".dockerignore": "src\n", "other.Dockerfile.dockerignore": "*\n!main.py\n"},
        dockerfile_name="other.Dockerfile",
        builders=BUILDKIT,
    ),
)
