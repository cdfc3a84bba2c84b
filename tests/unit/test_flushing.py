"""Files go to the disk while they are made."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from containerkit.store.flushing import Flushing


def test_much_goes_to_the_disk_before_its_end_and_little_does_not(tmp_path: Path) -> None:
    # What is not there cannot be written out: so it shows when somebody tries.
    gone = tmp_path / "gone"
    with Flushing(io.BytesIO(bytes(1 << 20)), gone) as stream:
        assert len(stream.read()) == 1 << 20
    with pytest.raises(FileNotFoundError), Flushing(io.BytesIO(bytes(50 << 20)), gone) as stream:
        assert len(stream.read(49 << 20)) == 49 << 20
    with Flushing(io.BytesIO(bytes(100 << 20)), tmp_path) as stream:
        assert sum(map(len, iter(lambda: stream.read(1 << 20), b""))) == 100 << 20
    assert "containerkit-flush" not in {thread.name for thread in threading.enumerate()}


def test_an_error_of_the_block_counts_more(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="other"), Flushing(io.BytesIO(bytes(50 << 20)), tmp_path / "gone") as stream:
        stream.read()
        raise ValueError("other")
