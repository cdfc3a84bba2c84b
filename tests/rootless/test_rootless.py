"""Containers of an ordinary user, whom the tests create: with subordinate ids, and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import busybox, leftovers
from tests.rootless import building, functions, handing, keeping, looking, networking, volumes

ROOT = Path(__file__).parents[2]
SCENARIOS = (
    "everyday",
    "plain_start",
    "files",
    "commit",
    "debian",
    "users_and_groups",
    "limits",
    "options",
    "network_views",
    "archives",
    "strangers",
    "implied",
    "two_processes",
    "killed",
    "session",
    "doctor",
    "runtime",
    *networking.SCENARIOS,
    *keeping.SCENARIOS,
    *handing.SCENARIOS,
    *building.SCENARIOS,
    *functions.SCENARIOS,
    *volumes.SCENARIOS,
    *looking.SCENARIOS,
)

#: In a mount namespace of its own, the interpreter and this tree are where the user can reach them, wherever they are.
BECOME = """
set -e
user=$1; view=$2; shift 2
for path in "$PREFIX" "$TREE"; do
  case "$path" in /root/*) mkdir -p "$view$path"; mount --bind "$path" "$view$path" ;; esac
done
if [ -d "$view/root" ]; then
  mount -t tmpfs -o mode=755 tmpfs /root
  for path in "$PREFIX" "$TREE"; do
    case "$path" in /root/*) mkdir -p "$path"; mount --bind "$view$path" "$path" ;; esac
  done
fi
# On a machine with cgroup v2 alone, as systemd delegates to users: a cgroup of theirs, and a leaf with this process.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  group=/sys/fs/cgroup/$user
  mkdir -p "$group/session"
  for one in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$one" >/sys/fs/cgroup/cgroup.subtree_control; done
  chown "$user" "$group" "$group/session" "$group"/cgroup.* "$group"/session/cgroup.*
  echo $$ >"$group/session/cgroup.procs"
fi
exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all "$@"
"""


@dataclass(frozen=True)
class Person:
    """An ordinary user, and a directory of theirs."""

    name: str
    home: Path
    view: Path

    def run(self, scenario: str) -> subprocess.CompletedProcess[str]:
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", BECOME, "sh", self.name, str(self.view)]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(ROOT), "TREE": str(ROOT),
            "PREFIX": os.path.realpath(sys.base_prefix), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        return subprocess.run(
            [*words, sys.executable, "-m", "tests.rootless.scenarios", scenario, str(self.home)], env=environment,
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module", params=["subordinate ids", "one id"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    if os.geteuid() != 0:
        pytest.skip("needs root to create a user: run the tests as root to see it")
    if shutil.which("newuidmap") is None:
        pytest.fail("newuidmap is not installed (Debian package uidmap)")
    name = f"ck-test-{os.getpid()}"
    home = Path(f"/tmp/{name}")
    subprocess.run(["useradd", "--home-dir", home, "--create-home", "--shell", "/bin/sh", name], check=True)
    try:
        start = 700_000_000
        change = ["--add-subuids", f"{start}-{start + 65535}", "--add-subgids", f"{start}-{start + 65535}"]
        subprocess.run(["usermod", "--del-subuids", "1-4294967294", "--del-subgids", "1-4294967294", name], check=True)
        if request.param == "subordinate ids":
            subprocess.run(["usermod", *change, name], check=True)
        home.chmod(0o755)
        busybox.build_tar(home / "busybox.tar").chmod(0o644)
        view = home / "view"
        view.mkdir()
        (home / "theirs").mkdir()
        os.chown(home / "theirs", 12345, 12345)
        (home / "theirs").chmod(0o777)
        yield Person(name, home, view)
    finally:
        for directory in (f"/sys/fs/cgroup/{name}/session", f"/sys/fs/cgroup/{name}"):
            if os.path.isdir(directory):
                os.rmdir(directory)
        subprocess.run(["userdel", name], check=True)
        shutil.rmtree(home)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = leftovers.look()
    yield
    found = leftovers.left(before)
    assert not found, "left behind:\n" + "\n".join(found)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_ordinary_user(person: Person, scenario: str) -> None:
    done = person.run(scenario)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    shutil.rmtree(person.home / "root", ignore_errors=True)
    for path in person.home.glob("out*"):
        shutil.rmtree(path)
