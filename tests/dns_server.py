"""A small DNS server, over UDP and TCP: ``dns_server.py FILE ADDRESS NAME=ADDRESS…``. FILE gets what was asked.

It runs on another host of a test, alone: the standard library only.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading

_TYPES = {"A": 1, "AAAA": 28}


def main(path: str, address: str, *pairs: str) -> None:
    """Answer until killed."""
    records = dict(pair.split("=", 1) for pair in pairs)
    with open(path, "a", buffering=1) as log:

        def answer(message: bytes, way: str) -> bytes:
            name, end = _name(message)
            (kind,) = struct.unpack_from("!H", message, end)
            log.write(f"{way} {kind} {name}\n")
            return _answer(message, end + 4, records.get(name.lower()), kind)

        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((address, 53))
        streams = socket.create_server((address, 53))
        threading.Thread(target=_serve_streams, args=(streams, answer), daemon=True).start()
        print("ready", flush=True)
        while True:
            message, client = datagrams.recvfrom(4096)
            datagrams.sendto(answer(message, "udp"), client)


def _serve_streams(streams: socket.socket, answer: object) -> None:
    while True:
        client, _ = streams.accept()
        with client, client.makefile("rb") as received:
            while head := received.read(2):
                reply = answer(received.read(int.from_bytes(head, "big")), "tcp")  # type: ignore[operator]
                client.sendall(len(reply).to_bytes(2, "big") + reply)


def _name(message: bytes) -> tuple[str, int]:
    labels, place = [], 12
    while length := message[place]:
        labels.append(message[place + 1 : place + 1 + length].decode())
        place += 1 + length
    return ".".join(labels), place + 1


def _answer(message: bytes, end: int, found: str | None, kind: int) -> bytes:
    family = socket.AF_INET6 if found and ":" in found else socket.AF_INET
    fits = found is not None and kind == _TYPES["AAAA" if family == socket.AF_INET6 else "A"]
    head = message[:2] + struct.pack("!HHHHH", 0x8180 | (0 if found else 3), 1, int(fits), 0, 0)
    if not fits or found is None:
        return head + message[12:end]
    data = socket.inet_pton(family, found)
    return head + message[12:end] + struct.pack("!HHHIH", 0xC00C, kind, 1, 5, len(data)) + data


if __name__ == "__main__":
    main(*sys.argv[1:])
