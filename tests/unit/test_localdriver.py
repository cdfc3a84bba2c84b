"""The options of mounts from servers, as the kernel takes them."""

from __future__ import annotations

import socket

import pytest

from containerkit.supervise.volumes.local import addressed


@pytest.mark.parametrize(("kind", "device", "options", "told"), [
    ("nfs", "localhost:/srv", "", "addr=127.0.0.1"),
    ("nfs", ":/srv", "addr=localhost,soft", "soft,addr=127.0.0.1"),
    ("nfs", "elsewhere:/srv", "rw,addr=10.0.0.7", "rw,addr=10.0.0.7"),
    ("nfs4", "[::1]:/srv", "vers=4.2,soft", "vers=4.2,soft,addr=::1"),
    ("nfs4", ":/srv", "addr=[fd00::7],proto=tcp6", "proto=tcp6,addr=fd00::7"),
    ("cifs", "//localhost/srv", "username=anna,password=", "username=anna,password=,addr=127.0.0.1"),
    ("smb3", r"\\localhost\srv", "ip=::1", "addr=::1"),
    ("ext4", "/dev/vdb", "addr=localhost", "addr=localhost"),
])  # fmt: skip
def test_a_server_is_told_by_its_address(kind: str, device: str, options: str, told: str) -> None:
    assert addressed(kind, device, options) == told


def test_a_link_local_address_has_its_interface() -> None:
    assert addressed("nfs", "[fe80::1%lo]:/srv", "") == f"addr=fe80::1%{socket.if_nametoindex('lo')}"


@pytest.mark.parametrize(("device", "options", "words"), [
    ("/srv", "", "it names no server"),
    (":/srv", "", "it names no server"),
    ("a..b:/srv", "", "server a..b: no host name"),
    ("[::1]:/srv", "proto=tcp", "server ::1: "),
])  # fmt: skip
def test_a_server_that_has_no_address(device: str, options: str, words: str) -> None:
    with pytest.raises(OSError, match=words):
        addressed("nfs", device, options)
