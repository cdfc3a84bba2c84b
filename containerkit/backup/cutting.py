"""Contents are cut into blocks, named and compressed by several threads, and put into packs in their order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from containerkit.backup.earlier import Earlier
from containerkit.backup.items import FILE, Item
from containerkit.backup.packing import digest_zeros
from containerkit.backup.packs import BLOCK, Writer, packed
from containerkit.backup.secrecy import Secrecy
from containerkit.backup.walk import open_content, regions
from containerkit.backup.write import Teller

#: Bytes that are read ahead of what is written; of small files, what is handed to a thread at once.
_AHEAD, _BATCH = 8 << 20, 512 << 10
_THREADS = min(4, os.cpu_count() or 1)

#: A block: its name, as it is kept (nothing when it is there already), and the digest of its content.
Done = tuple[bytes, bytes, str]


def places(item: Item) -> Iterator[tuple[int, int]]:
    """Offset and length of each block of a file's content: its data, cut at multiples of a block's size."""
    for start, length in ((0, item.size),) if item.extents is None else item.extents:
        end = start + length
        while start < end:
            following = min(end, (start // BLOCK + 1) * BLOCK)
            yield start, following - start
            start = following


def blocks(item: Item) -> tuple[str, ...]:
    """The names of the blocks of a file's content."""
    return item.blocks or ((item.digest,) if item.size and item.extents != () else ())


class Cutter:
    """Cuts the contents of a tree.

    Args:
        is_still: contents do not change while they are read: they are copies.
    """

    def __init__(self, writer: Writer, secrecy: Secrecy, teller: Teller, *, is_still: bool) -> None:
        self._writer, self._secrecy, self._teller, self._is_still = writer, secrecy, teller, is_still
        self._waiting: deque[tuple[int, Future[list[Done]], Callable[[list[Done]], None]]] = deque()
        self._is_plain = type(secrecy) is Secrecy
        self._ahead = 0
        self._batch: list[tuple[Item, bytes]] = []
        self._batched = 0

    def add(self, steps: Iterator[tuple[Item, int]], earlier: Earlier) -> Iterator[Item]:
        """Every item of the tree. What it says of contents is complete when this has come to its end.

        Args:
            earlier: what is unchanged since is not read, and is the item that it has. Its blocks are there.
        """
        with ThreadPoolExecutor(_THREADS, "containerkit-backup") as self._pool:
            try:
                for item, handle in steps:
                    same = earlier.unchanged(item)
                    if item.kind == FILE:
                        if same is None:
                            self._read(item, handle)
                        self._teller.add(item.size)
                    yield same or item
                self._hand_over()
                while self._waiting:
                    self._take()
            finally:
                self._pool.shutdown(cancel_futures=True)
        self._teller.end()

    def _read(self, item: Item, handle: int) -> None:
        content = open_content(handle)
        try:
            item.extents = regions(content, item.size)
            if item.extents is None and item.size <= BLOCK:
                self._add_small(item, _exactly(content, 0, item.size, item))
            else:
                self._cut(item, content)
            if not self._is_still:
                found = os.fstat(content)
                now = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                item.torn = item.torn or now != (item.size, item.mtime_ns, item.ctime_ns)
        finally:
            os.close(content)

    def _add_small(self, item: Item, data: bytes) -> None:
        if not data:
            item.digest = hashlib.sha256().hexdigest()
            return
        self._batch.append((item, data))
        self._batched += len(data)
        if self._batched >= _BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if not self._batch:
            return
        batch, self._batch, size, self._batched = self._batch, [], self._batched, 0

        def finish(done: list[Done]) -> None:
            for (item, _), (name, _, digest) in zip(batch, done, strict=True):
                item.blocks, item.digest = () if self._is_plain else (name.hex(),), digest

        self._submit(size, [data for _, data in batch], finish)

    def _cut(self, item: Item, content: int) -> None:
        digest = hashlib.sha256()
        names: list[str] = []
        end = 0
        for start, length in places(item):
            data = _exactly(content, start, length, item)
            digest_zeros(digest, start - end)
            digest.update(data)
            end = start + length
            self._submit(length, [data], lambda done: names.append(done[0][0].hex()))
            self._teller.within(end)
        digest_zeros(digest, item.size - end)
        item.digest = digest.hexdigest()
        while self._waiting:  # the names are complete when all are done
            self._take()
        item.blocks = tuple(names)

    def _submit(self, size: int, contents: list[bytes], finish: Callable[[list[Done]], None]) -> None:
        self._waiting.append((size, self._pool.submit(self._work, contents), finish))
        self._ahead += size
        while self._ahead > _AHEAD:
            self._take()

    def _work(self, contents: list[bytes]) -> list[Done]:
        """In a thread."""
        found = []
        for data in contents:
            name = self._secrecy.name(data)
            kept = b"" if name in self._writer else self._secrecy.seal(packed(data))
            digest = name.hex() if self._is_plain else hashlib.sha256(data).hexdigest()
            found.append((name, kept, digest))
        return found

    def _take(self) -> None:
        size, future, finish = self._waiting.popleft()
        done = future.result()
        for name, kept, _ in done:
            if kept:
                self._writer.put(name, kept)
        self._ahead -= size
        finish(done)


def _exactly(content: int, start: int, length: int, item: Item) -> bytes:
    """So many bytes; zeros after the end of a file that has become shorter, which is torn then."""
    data = os.pread(content, length, start)
    while len(data) < length:
        more = os.pread(content, length - len(data), start + len(data))
        if not more:
            item.torn = True
            return data + bytes(length - len(data))
        data += more
    return data
