"""`drivers/port_users.py`: who else has a serial port open."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.port_users import port_taken

HOLDS = "import sys, time; file = open(sys.argv[1]); print(flush=True); time.sleep(60)"


@pytest.fixture
def port() -> Iterator[str]:
    end, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(end)
    os.close(theirs)


def holder(program: str | Path, port: str) -> "subprocess.Popen[bytes]":
    """A process of that program that has the port open."""
    process = subprocess.Popen([program, "-c", HOLDS, port], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_nobody_else_has_it(port: str) -> None:
    assert port_taken(port) == ""
    assert port_taken("/dev/there-is-no-such-port") == ""
    assert port_taken("/etc/passwd") == ""


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("agetty", "take the login off it: systemctl disable --now serial-getty@{port}"),
        ("ModemManager", "systemctl disable --now ModemManager"),
        ("python3", "end it, or give the meter another port"),
    ],
)
def test_who_has_it_open_is_named_with_the_remedy(
    port: str, tmp_path: Path, name: str, remedy: str
) -> None:
    program = tmp_path / name
    program.symlink_to(Path(sys.executable).resolve())
    process = holder(program, port)
    try:
        said = port_taken(port)
    finally:
        process.kill()
        process.communicate()
    assert f"another program has the port open (pid {process.pid}: " in said
    assert said.endswith(remedy.format(port=Path(port).name))
    assert port_taken(port) == ""


def test_the_lasting_name_of_a_port_is_the_same_port(port: str, tmp_path: Path) -> None:
    lasting = tmp_path / "usb-FTDI"
    lasting.symlink_to(port)
    process = holder(sys.executable, port)
    try:
        assert f"pid {process.pid}" in port_taken(str(lasting))
    finally:
        process.kill()
        process.communicate()
