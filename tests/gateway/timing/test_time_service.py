"""Who is asked whether the clock is synchronised, and what is made of the answers."""

import contextlib
import errno
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.timing.clock import BOOT_ID_VARIABLE, read_boot_id
from gateway.timing.time_service import (
    ASK_AGAIN_IN_VAIN_S,
    ASK_AGAIN_S,
    TimeService,
    ntp_synchronised,
)

BOOT_ID = "3f1c0a52-8a5e-4d53-9a10-6a1b2f0c77de"


def refuse() -> bool:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def message(kind: int, reply_to: int, signature: bytes, body: bytes, error: str = "") -> bytes:
    """What a bus sends, by the D-Bus Specification: here in big-endian, as a bus may."""
    fields = bytes((5, 1)) + b"u\0" + struct.pack(">I", reply_to)
    if error:
        fields += bytes((4, 1)) + b"s\0" + struct.pack(">I", len(error)) + error.encode() + b"\0"
        fields += bytes(-len(fields) % 8)
    fields += bytes((8, 1)) + b"g\0" + bytes((len(signature),)) + signature + b"\0"
    head = struct.pack(">cBBBIII", b"B", kind, 0, 1, len(body), 9, len(fields))
    return head + fields + bytes(-(len(head) + len(fields)) % 8) + body


HELLO = message(2, 1, b"s", struct.pack(">I", 4) + b":1.7\0")
TRUE = message(2, 2, b"v", b"\x01b\0\0" + struct.pack(">I", 1))
FALSE = message(2, 2, b"v", b"\x01b\0\0" + struct.pack(">I", 0))
UNKNOWN = "org.freedesktop.DBus.Error.ServiceUnknown"
NO_SERVICE = message(3, 2, b"", b"", UNKNOWN)


@contextlib.contextmanager
def bus_that_says(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """A socket that takes one caller after the other, and what each of them said after BEGIN."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    caller = listening.accept()[0]
                except OSError:
                    return
                with caller:
                    assert caller.recv(256).startswith(b"\0AUTH EXTERNAL ")
                    caller.sendall(b"OK 0123456789abcdef\r\n")
                    said = b""
                    while b"NTPSynchronized\0" not in said:
                        said += caller.recv(4096)
                    heard.append(said)
                    # Who has heard enough to know that it is no message listens no longer.
                    with contextlib.suppress(BrokenPipeError):
                        for at in range(len(answer)):
                            caller.sendall(answer[at : at + 1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(("answer", "synchronised"), [(TRUE, True), (FALSE, False)])
def test_systemd_is_asked_where_the_kernel_may_not_be(
    tmp_path: Path, answer: bytes, synchronised: bool
) -> None:
    with bus_that_says(tmp_path / "bus", HELLO + answer):
        ask = TimeService(refuse, bus=str(tmp_path / "bus"), mark=tmp_path / "mark")
        assert ask() is synchronised


def test_a_kernel_that_answers_is_believed_alone(tmp_path: Path) -> None:
    ask = TimeService(lambda: False, bus=str(tmp_path / "no-bus"), mark=Path("/"))
    assert ask() is False


def test_the_bus_is_asked_now_and_then_however_often_the_clock_asks(tmp_path: Path) -> None:
    now_s = [0.0]
    with bus_that_says(tmp_path / "bus", HELLO + FALSE) as heard:
        ask = TimeService(
            refuse, bus=str(tmp_path / "bus"), mark=tmp_path / "m", monotonic_s=lambda: now_s[0]
        )
        for _ in range(100):
            assert ask() is False
        assert len(heard) == 1
        now_s[0] += ASK_AGAIN_S
        assert ask() is False
        assert len(heard) == 2


def test_without_a_bus_the_mark_of_timesyncd_counts(tmp_path: Path) -> None:
    now_s = [0.0]
    mark = tmp_path / "synchronized"
    ask = TimeService(refuse, bus=str(tmp_path / "bus"), mark=mark, monotonic_s=lambda: now_s[0])
    for _ in range(2):
        with pytest.raises(
            OSError, match=r"adjtimex: .*; org\.freedesktop\.timedate1: No such file"
        ):
            ask()
    mark.touch()
    now_s[0] += ASK_AGAIN_IN_VAIN_S
    assert ask() is True


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HELLO + NO_SERVICE, UNKNOWN),
        (HELLO + message(2, 2, b"v", b"\x01s\0\0" + bytes(8)), "no boolean"),
        (HELLO[:40], "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no message"),
        (b"l\2\0\1" + b"\xff" * 12, "too much"),
        (b"l\2\0\1" + struct.pack("<III", 0, 1, 8) + b"\x05\x01u\0\1\0", "closed the connection"),
        (b"l\2\0\1" + struct.pack("<III", 0, 1, 3) + b"\x05\x01u\0\0\0\0\0", "no message"),
    ],
)
def test_what_is_no_answer_is_an_error_with_words(tmp_path: Path, answer: bytes, said: str) -> None:
    with bus_that_says(tmp_path / "bus", answer), pytest.raises(OSError, match=said):
        ntp_synchronised(str(tmp_path / "bus"))


def test_a_real_bus_understands_what_is_asked(
    required_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """It has no timedated, and says so: what it had not understood it would hang up on."""
    bus = tmp_path / "bus"
    command = [
        required_tool("dbus-daemon"), "--session", "--nofork", "--nopidfile", "--print-address",
        f"--address=unix:path={bus}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline()
            with pytest.raises(OSError, match="ServiceUnknown"):
                ntp_synchronised(str(bus))
        finally:
            daemon.terminate()


def test_the_boot_is_the_same_whoever_tells(tmp_path: Path) -> None:
    """The kernel writes dashes; %b of systemd has none."""
    file = tmp_path / "boot_id"
    told = {BOOT_ID_VARIABLE: BOOT_ID.replace("-", "")}
    assert read_boot_id(file, told) == BOOT_ID
    file.write_text(f"{BOOT_ID}\n")
    assert read_boot_id(file, {}) == BOOT_ID


@pytest.mark.parametrize("told", ["", "%b", "boot"])
def test_a_boot_that_nobody_names_is_an_error_with_words(tmp_path: Path, told: str) -> None:
    with pytest.raises(OSError, match=BOOT_ID_VARIABLE):
        read_boot_id(tmp_path / "boot_id", {BOOT_ID_VARIABLE: told})
