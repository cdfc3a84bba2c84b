"""Pictures of the widgets, light and dark: ``python -m tests.browser.screenshots [DIRECTORY]``.

Default: ``notebooks/images``; each is named after its widget, the dark ones with ``-dark``. Needs root.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from containerkit import Engine, Image
from tests import busybox
from tests.browser.lab import Lab, opened
from tests.engines import emptied

_DIRECTORY = Path(__file__).parents[2] / "notebooks/images"
#: Widget → the cell that shows it.
WIDGETS = {
    "dashboard": "dashboard = ck.dashboard(interval=0.5)\ndashboard",
    "panel": 'panel = ck.containers["shop"].panel()\npanel',
    "log": 'log = ck.containers["web"].log_view()\nlog',
    "terminal": 'terminal = ck.containers["web"].terminal()\nterminal',
    "form": 'ck.run_form("busybox", "httpd -f -h /www", name="site", ports=["8080:80"], memory="64m", cpus=0.5,\n'
    '            volumes=["site:/www"], network="bridge")',
    "network": 'ck.Network.get("bridge").graph()',
    "volume": 'site = ck.Volume.get("site")\nfor page in ("index", "about"):\n'
    '    site.backup("backups/", progress=None)\n'
    '    ck.call("busybox", ["sh", "-c", f"echo {page} >/www/{page}.html"], volumes=["site:/www"])\n'
    'site.panel("backups")',
    "build": '%%dockerfile shop\nFROM busybox\nCOPY <<EOF /www/index.html\n<h1>shop</h1>\nEOF\n'
    'RUN for i in 1 2 3; do echo "step $i"; done\nCMD ["httpd", "-f", "-h", "/www"]',
    "image": 'browser = ck.images["shop"].browse()\nbrowser.tabs.selected_index = 3\nbrowser',
    "step": 'stepper = ck.step("busybox", "true", network="none")\nstepper.run(until=3)\nstepper.panel()',
    "xray": 'ck.containers["web"].xray()',
}  # fmt: skip
#: What of a cell's output is on the picture; and of those that show more than one thing.
_WIDGET = ":is(.widget-vbox, .ck-terminal, .jp-RenderedHTMLCommon > *)"
_WHOLE = {"build": ".jp-Cell-outputArea"}
_BUSY = "while true; do i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done; sleep {pause}; {more}; done"
_REQUEST = (
    'n=$((n+1)); echo "10.0.0.$((n % 7)) GET /page/$n 200 $((n * 37 % 9000))"; [ $((n % 9)) = 0 ] && '
    'echo "warning: /page/$n took $((n % 50 + 20)) ms" >&2; true'
)


_TALK = "head -c $((i % 7 * 90000 + 50000)) /dev/zero | nc -w 1 sink 9"
#: Name → turns of a loop, seconds of rest, what else it does, memory, cores.
_BUSY_ONES = {
    "web": (9000, 0.2, _REQUEST, "64m", 0.5),
    "shop": (90000, 0.3, f"head -c 12000000 /dev/zero | tail | wc -c; {_TALK}", "48m", 0.3),
    "worker": (200000, 1, "head -c 40000000 /dev/zero | tail | wc -c", "128m", 0.4),
    "db": (2000, 0.3, "dd if=/dev/zero of=/data bs=1M count=3 oflag=direct 2>/dev/null", "256m", 1),
    "cache": (500, 0.5, "true", "32m", 0.2),
}


def start(engine: Engine) -> None:
    """Containers that do something to be seen."""
    engine.run("busybox", ["sh", "-c", "while true; do nc -l -p 9 >/dev/null; done"], name="sink", memory="16m")
    for name, (turns, pause, more, memory, cpus) in _BUSY_ONES.items():
        script = _BUSY.format(turns=turns, pause=pause, more=more)
        engine.run("busybox", ["sh", "-c", script], name=name, links=["sink"], memory=memory, cpus=cpus)
    engine.run("busybox", "sleep 600", name="idle").pause()
    engine.call("busybox", "true")
    engine.run("busybox", "false", name="migration").wait(10)
    engine.call(
        "busybox", ["sh", "-c", "cp /bin/busybox /www/tool; echo hello >/www/hello.html"], volumes=["site:/www"]
    )


def take(engine: Engine, theme: str, end: str, directory: Path) -> None:
    """All widgets in one theme."""
    cells = ["import containerkit as ck\n%load_ext containerkit", *WIDGETS.values()]
    with tempfile.TemporaryDirectory() as scratch, opened(cells, engine, Path(scratch), f"JupyterLab {theme}") as lab:
        lab.run()
        show(lab, engine)
        for place, name in enumerate(WIDGETS, 2):
            widget = f".jp-Cell:nth-of-type({place}) {_WHOLE.get(name, _WIDGET)}"
            lab.find(widget)
            time.sleep(0.6)
            (directory / f"{name}{end}.png").write_bytes(lab.picture(widget))


def show(lab: Lab, engine: Engine) -> None:
    """Have something to see in each."""
    lab.find(".ck-terminal")  # it opens where it is in sight
    lab.until(lambda: lab.all(".ck-terminal .xterm-screen"))
    keys = lab.find(".ck-terminal textarea")
    keys.send_keys("ls --color=always /\n")
    keys.send_keys("top -b -n 1 | head -5\n")
    search = lab.find(".widget-text input[placeholder=search]")
    search.send_keys("warning\n")
    time.sleep(10)
    engine.containers["shop"].update(cpus=0.6)
    time.sleep(6)
    engine.containers["shop"].exec(["sh", "-c", "head -c 99000000 /dev/zero | tail"])
    time.sleep(4)
    engine.containers["shop"].update(memory="96m")
    time.sleep(4)


def main(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    for theme, end in (("Light", ""), ("Dark", "-dark")):
        with tempfile.TemporaryDirectory() as scratch, emptied(Path(scratch) / "root", Path(scratch) / "run") as engine:
            Image.import_(busybox.build_tar(Path(scratch) / "busybox.tar"), tag="busybox", engine=engine)
            start(engine)
            take(engine, theme, end, directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _DIRECTORY)
