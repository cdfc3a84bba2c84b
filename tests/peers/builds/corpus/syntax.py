"""How a Dockerfile may be written."""

from __future__ import annotations

from tests.peers.builds.case import BUILDKIT, NEITHER, Case, Expected

CASES = (
    Case(
        "comments",
        "# first\n  # indented\nFROM busybox\n\n   \n# RUN false\nRUN echo '# kept' >/x # said to the shell\n",
    ),
    Case(
        "comments-in-continuations",
        "FROM busybox\nRUN echo a \\\n# comment\n   # indented comment\n  b >/x && \\\n\n  echo c >>/x\n",
    ),
    Case("escape-directive", '# escape=`\nFROM busybox\nRUN echo a\\b `\n  c >/x\nENV A=`$B C=a`\n  D="x`"y"\n'),
    Case("escape-directive-spaced", "#  escape = `  \nFROM busybox\nRUN echo a `\n  b >/x\n"),
    Case("escape-directive-too-late", "# comment\n# escape=`\nFROM busybox\nRUN echo a \\\n  b >/x\n"),
    Case(
        "escape-directive-unknown-before", "# unknown=x\n# escape=`\nFROM busybox\nRUN echo a `\n >/x\n", refused=True
    ),
    Case("check-directive", "# check=skip=all\nFROM busybox\nRUN echo a >/x\n"),
    Case("crlf", b'FROM busybox\r\nENV A=1\r\nRUN echo a \\\r\n  b >/x\r\nCMD ["x"]\r\n'),
    Case("byte-order-mark", b"\xef\xbb\xbfFROM busybox\nENV A=1\n"),
    Case("no-newline-at-the-end", "FROM busybox\nENV A=1"),
    Case("case", "from busybox\nEnv A=1\nrUn echo x >/x\nCmD x\n"),
    Case("indented", "  FROM busybox\n\tENV A=1\n    RUN echo x >/x\n"),
    Case("spaces-between", "FROM    busybox\nENV\tA=1\nRUN   echo   a    b   >/x  \nLABEL   a=b     c=d\n"),
    Case("escape-at-the-end-of-the-file", "FROM busybox\nRUN echo x >/x \\\n"),
    Case("backslashes", "FROM busybox\nRUN echo 'a\\b' \"c\\\\d\" >/x\nENV A=\\\\x\n"),
    Case("escape-followed-by-a-space", "FROM busybox\nRUN echo a \\ \n  b >/x\n"),
    Case("json-with-single-quotes", "FROM busybox\nCMD ['a', 'b']\n"),
    Case("json-over-lines", 'FROM busybox\nCMD [ "a", \\\n  "b", \\\n  "c" ]\n'),
    Case("json-escapes", 'FROM busybox\nCMD ["a\\tb", "\\u2603", "q\\"", "c:\\\\d", "<&>"]\n'),
    Case("history-of-marks", 'FROM busybox\nRUN echo \'<&>\' >/x\nLABEL a="<&>"\nENTRYPOINT ["<&>"]\n'),
    Case("dollar-in-run-and-cmd", 'FROM busybox\nENV A=1\nCMD echo $A ${A} $$\nENTRYPOINT ["$A"]\n'),
    Case("other-file-name", "FROM busybox\nCOPY . /all\n", {"a": "a"}, dockerfile_name="Own.Dockerfile"),
    Case("other-file-name-below", "FROM busybox\nCOPY . /all\n", {"a": "a"}, dockerfile_name="docker/build.txt"),
    Case("long-line", "FROM busybox\nENV A=" + "x" * 20_000 + "\n"),
    Case("heredoc-of-an-unknown-builder", "FROM busybox\nRUN cat <<EOF\n", builders=NEITHER, refused=True),
    Case(
        "syntax-directive",
        "# syntax=docker/dockerfile:1\nFROM busybox\nLABEL a=b\n",
        builders=NEITHER,
        expected=Expected(config={"Labels": {"a": "b"}}, layers=0),
    ),
    Case("directives-in-any-case", "# ESCAPE=`\nFROM busybox\nRUN echo a `\n  b >/x\n"),
    Case("blank-lines-in-continuations", "FROM busybox\nRUN echo a \\\n\n\n  b >/x\n", builders=BUILDKIT),
)
