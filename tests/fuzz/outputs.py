"""Logs as they lie on the disk, and templates."""

from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path

from hypothesis import strategies as st

from containerkit.reading import logs, template
from containerkit.reading.logpages import LogPages
from containerkit.supervise.output.log import HEADER, LogWriter, records
from containerkit.supervise.output.logfiles import LogFiles
from tests.fuzz.case import parser
from tests.fuzz.edits import spoiled, text

_LOG = b"".join(bytes(piece) for piece in records(1, b"a line\nanother\n" * 3, 10**18, 0))
_TWO = _LOG + b"".join(bytes(piece) for piece in records(2, b"no end", 2**63, len(_LOG)))
_LONG = b"".join(bytes(piece) for piece in records(1, b"x" * 70_000 + b"\nend", 10**18, 0))
_HEADERS = st.builds(
    HEADER.pack, st.integers(0, 2**64 - 1), st.integers(0, 40) | st.integers(0, 2**32 - 1), st.integers(0, 255)
)
_RECORDS = st.lists(st.one_of(_HEADERS, st.just(b"some text\n"), st.just(bytes(20))), max_size=8).map(b"".join)
_FILE = st.sampled_from(["log.1", "log.007", "log.٣", "log.x", "log." + "9" * 200])


@parser("log", st.tuples(spoiled(_LOG, _TWO, _LONG, _RECORDS), spoiled(_LOG), _FILE), examples=100)
def _log(case: tuple[bytes, bytes, str]) -> None:
    new, old, name = case
    with tempfile.TemporaryDirectory() as place:
        path = str(Path(place, "log"))
        Path(path).write_bytes(new)
        Path(place, name).write_bytes(old)
        for selection in (logs.Selection(), logs.Selection(tail=2), logs.Selection(since=10**9, until=1.5e9)):
            logs.text(logs.lines(path, selection), timestamps=True)
        with LogPages(path) as pages:
            window = pages.last(5)
            pages.near(window.first, 3, move=-2)
            pages.search("line", None, backwards=True, is_over=lambda part: False)
            pages.ends(3)
        writer = LogWriter(path)
        writer.write(1, b"\nafter")
        writer.close()
        with LogFiles(path) as files:
            written = b"".join(one.data for one in chain.from_iterable(files.readers()) if one.stream == 1)
        assert written.endswith(b"\nafter")


_TEMPLATES = text(
    "{{.Name}} {{json .State}} {{range .Mounts}}{{.Target}},{{else}}none{{end}}",
    "{{if .State.Running}}{{len .Name}}{{end}}",
    '{{index .Labels "a"}} {{join .Words ", "}} {{.Name | upper | println}}',
    "{{with .State}}{{$.Name}}{{end}} {{eq .Name `a`}} {{index .Words 1}}",
    "{{lower .State}}{{range .State.Pid}}{{end}}{{join .Name .Words}}{{not .Name}}",
)
_DATA = {
    "Name": "a",
    "State": {"Running": True, "Pid": 5, "None": None},
    "Mounts": [{"Target": "/x"}],
    "Labels": {"a": "b"},
    "Words": ["x", "y"],
}


@parser("template", _TEMPLATES, subject="format", known=("{{" * 60_000, "{{if" + " " * 120_000))
def _template(data: str) -> None:
    template.render(data, _DATA)
