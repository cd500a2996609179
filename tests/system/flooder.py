"""A peer that floods whoever connects, as a process of its own: `python flooder.py KIND`. It prints
its port, and counts on standard error how often somebody connected.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterator

CONNACK = b"\x20\x02\x00\x00"
CONNACK_5 = b"\x20\x03\x00\x00\x00"
CHUNK = 1 << 16


def welcome(peer: socket.socket) -> None:
    """Answer MQTT's CONNECT, in the version that it asks for."""
    head = peer.recv(4096)
    peer.sendall(CONNACK_5 if b"MQTT\x05" in head else CONNACK)


def listen_first(peer: socket.socket) -> None:
    """Let the other end speak first."""
    peer.recv(4096)


def speak_first(_: socket.socket) -> None:
    """Begin at once."""


def alternating(*parts: bytes) -> Iterator[bytes]:
    yield from parts[:-1]
    chunk = parts[-1] * max(1, CHUNK // len(parts[-1]))
    while True:
        yield chunk


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

KINDS: dict[str, tuple[Callable[[socket.socket], None], tuple[bytes, ...]]] = {
    "mqtt acknowledgements": (welcome, (b"\x40\x02\x00\x07",)),
    "mqtt messages nobody asked for": (
        welcome,
        tuple(b"\x34\xc8\x01\x00\x01a" + n.to_bytes(2, "big") + bytes(195) for n in range(1, 999)),
    ),
    "mqtt pongs": (welcome, (b"\xd0\x00",)),
    "modbus tcp": (speak_first, (b"\x00\x00\x00\x00\x00\x05\x01\x03\x02\x00\x00",)),
    "modbus rtu": (speak_first, (b"\x01\x04\x02\x00\x00\xb9\x30",)),
    "p1 noise": (speak_first, (b"/XMX5LGBBFFB231314239\r\n\r\n1-0:1.8.1(000001.000*kWh)\r\n",)),
    "sml noise": (speak_first, (b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01\x76\x05",)),
    "http body": (listen_first, (HTTP + b"\r\n", b" ")),
    "http chunks": (listen_first, (HTTP + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")),
    "http headers": (listen_first, (HTTP, b"X: y\r\n")),
    "http interim": (listen_first, (b"HTTP/1.1 100 Continue\r\n\r\n",)),
}


def serve(kind: str, peer: socket.socket) -> None:
    begin, parts = KINDS[kind]
    try:
        peer.settimeout(30)
        begin(peer)
        for chunk in alternating(*parts):
            peer.sendall(chunk)
    except OSError:
        pass
    finally:
        peer.close()


def main() -> None:
    kind = sys.argv[1]
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            peer, _ = server.accept()
            print("connected", file=sys.stderr, flush=True)
            threading.Thread(target=serve, args=(kind, peer), daemon=True).start()


if __name__ == "__main__":
    main()
