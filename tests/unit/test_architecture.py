"""Which package may import which, what the public names are, and what an import costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import containerkit

PUBLIC = [
    "AlreadyExists", "Backup", "Backups", "BuildCache", "BuildError", "BuildReport", "BuildStep", "CachedStep", "Chain",
    "Change", "Changes", "Condition", "Container", "ContainerkitError", "Doctor", "Endpoint", "Engine", "Event",
    "Finding", "Function", "Healthcheck", "Image", "ImageComparison", "Interface", "InvalidArgument", "InvalidState",
    "LayerDetails", "LayerEntry", "LogLine", "MapFailed", "MetricsServer", "Mount", "Neighbour", "Network",
    "NetworkGraph", "NotFound", "OutOfMemory", "PermissionDenied", "Plan", "PortMapping", "Process", "ProcessFailed",
    "ProcessInfo", "Progress", "PruneReport", "Recording", "RecordingComparison", "Recordings", "RegistryError",
    "Result", "Route", "RuntimeFailure", "SearchResult", "SearchResults", "Session", "Stats", "Stepped", "Stepper",
    "StorageError", "Timeout", "Unsupported", "Usage", "Volume", "VolumeDriver", "XRay", "boot", "build", "build_cache",
    "call", "compare", "containers", "dashboard", "default_engine", "doctor", "events", "function", "images", "info",
    "login", "logout", "networks", "prune", "pull", "record", "run", "run_form", "search", "serve_metrics", "session",
    "set_default_engine", "step", "until", "version", "volumes",
]  # fmt: skip


def test_imports_go_downward() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_public_names() -> None:
    assert sorted(containerkit.__all__) == containerkit.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(containerkit, name) is not None
    assert set(PUBLIC) <= set(dir(containerkit))


def test_an_engine_has_the_names_of_the_module() -> None:
    of_no_engine = {"compare", "default_engine", "set_default_engine", "until"}
    verbs = {name for name in PUBLIC if name[0].islower()} - of_no_engine
    assert not {name for name in verbs if not hasattr(containerkit.Engine, name)}


def test_no_module_takes_the_place_of_a_public_name() -> None:
    # The import of a module sets the package's attribute of that name.
    modules = {path.stem for path in Path(containerkit.__file__).parent.iterdir()}
    assert not modules & set(PUBLIC)


def test_an_import_brings_in_no_heavy_package() -> None:
    script = "import sys, containerkit; from containerkit import Container, Image, run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "matplotlib", "ipywidgets", "pyroute2", "numpy", "IPython"} & set(loaded)


def test_the_spawner_needs_the_standard_library_only() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r});"
        "import containerkit.supervise.spawner; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    # Each of these costs every fork something; what needs them belongs on the SDK's side.
    assert not {"hashlib", "pathlib", "urllib", "html", "logging", "subprocess", "zstandard"} & set(done.stdout.split())


def test_a_start_needs_neither_archives_nor_programs() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r});"
        "from containerkit import Engine, Image, engine; from containerkit.running import starting;"
        "from containerkit.store import store; from containerkit.supervise import abandoned;"
        "from containerkit.registry import finding; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    # A first container waits for each of them.
    late = {
        "containerkit.layers.tar",
        "http",
        "platform",
        "shutil",
        "ssl",
        "subprocess",
        "tempfile",
        "urllib3",
        "zstandard",
    }
    assert not late & set(done.stdout.split())


def test_who_unpacks_a_layer_of_gzip_needs_little() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from containerkit.store import unpacking; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # Each layer of a pull is unpacked by a process that imports this first.
    late = {"containerkit.configuration", "containerkit.options", "containerkit.store.layers", "secrets", "zstandard"}
    assert not late & set(done.stdout.split())


def test_every_module_says_what_it_is_for() -> None:
    for path in sorted(Path(containerkit.__file__).parent.rglob("*.py")):
        assert path.read_text().lstrip().startswith('"""'), f"{path}: has no docstring"
