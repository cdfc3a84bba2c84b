"""``inspect(format=…)``: what docker's users type."""

from __future__ import annotations

import pytest

from containerkit.errors import InvalidArgument
from containerkit.reading.template import render

DATA = {
    "Name": "/web",
    "State": {"Pid": 42, "Running": True, "Health": None},
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"a.b": "c"}},
    "Mounts": [{"Source": "/x"}, {"Source": "/y"}],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.State.Pid}}", "42"),
        ("{{ .Name }}: {{.State.Running}}", "/web: true"),
        ("{{json .Config.Env}}", '["A=1","B=2"]'),
        ("{{.Config.Env | json}}", '["A=1","B=2"]'),
        ('{{index .Config.Labels "a.b"}}', "c"),
        ("{{index .Config.Env 1}}", "B=2"),
        ('{{index .Config.Labels "none"}}', ""),
        ("{{range .Mounts}}{{.Source}};{{end}}", "/x;/y;"),
        ("{{range .Mounts}}{{.Source}}{{$.State.Pid}} {{end}}", "/x42 /y42 "),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        ("{{with .State}}{{.Pid}}{{end}}", "42"),
        ("{{.State.Health}}", "<no value>"),
        ("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[a.b:c]"),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ("{{len .Mounts}}", "2"),
        ("plain", "plain"),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert render(template, DATA) == text


@pytest.mark.parametrize(
    "template",
    ["{{.Absent}}", "{{.State.Pid.More}}", "{{nonsense .Name}}", "{{.Name", "{{end}}", "{{range .Mounts}}", "{{}}",
     "{{index .Config.Env 9}}", "{{if .Name}}x", '{{index "a}}',
     "{{lower .State}}", '{{join .Config.Env .State}}', "{{range .State.Pid}}{{end}}", "{{range .Name}}{{end}}",
     "{{index .Config.Env --5}}", "{{²}}", "{{index .Config.Env " + "9" * 5000 + "}}",
     "{{if .Name}}" * 600 + "{{end}}" * 600,
     "{{" * 100_000],
)  # fmt: skip
def test_templates_that_cannot_be_carried_out(template: str) -> None:
    with pytest.raises(InvalidArgument, match="format"):
        render(template, DATA)
