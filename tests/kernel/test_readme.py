"""README's page of examples is true: it runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from containerkit import Engine, Image
from tests.servers import free_port

_README = Path(__file__).parents[2] / "README.md"
#: What needs a registry or a distribution's packages, and what is there to fail.
_ELSEWHERE = ("debian", "registry.example.com", "# raises")


def test_the_page_of_examples_runs(engine: Engine, image: Image, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
    assert len(blocks) > 3
    lines = ["" if any(word in line for word in _ELSEWHERE) else line for line in "".join(blocks).splitlines()]
    text = "\n".join(lines).replace("8080", str(free_port())).replace("9323", str(free_port()))
    (tmp_path / "work").mkdir()
    (tmp_path / "readme.py").write_text(text)
    places = {"CONTAINERKIT_ROOT": str(engine.paths.root), "CONTAINERKIT_RUN": str(engine.paths.run)}
    done = subprocess.run(
        [sys.executable, tmp_path / "readme.py"], env={**os.environ, **places, "PYTHONPATH": str(_README.parent)},
        cwd=tmp_path / "work", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not [*engine.containers] and not [*engine.volumes] and (tmp_path / "work/notes.tar.zst").exists()
