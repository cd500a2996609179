"""Log lines with fields, read by a socket that takes the journal's place."""

import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.commands.run import MaskedLines
from gateway.monitoring.journal_stream import JournalHandler, datagram, is_journal


def read(data: bytes) -> dict[str, str]:
    """The other side of the protocol, written from its page."""
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            data = rest
        else:
            name, (size,) = line, struct.unpack("<Q", rest[:8])
            value, data = rest[8 : 8 + size], rest[8 + size + 1 :]
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "socket"))
        ear.settimeout(5)
        yield ear


@pytest.fixture
def log(journal: socket.socket, tmp_path: Path) -> Iterator[logging.Logger]:
    handler = JournalHandler(str(tmp_path / "socket"))
    handler.setFormatter(MaskedLines("%(message)s", lambda text: text.replace("hunter2", "***")))
    logger = logging.getLogger("gateway.test")
    logger.addHandler(handler)
    logger.setLevel("DEBUG")
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True
    handler.close()


def test_a_line_has_its_level_its_part_and_the_kind_of_message(
    journal: socket.socket, log: logging.Logger
) -> None:
    log.warning("%s: no answer within %g s", "grid", 0.5)
    log.error("%s: no answer within %g s", "pv", 2.0)
    log.info("all is well")
    first, second, third = (read(journal.recv(65536)) for _ in range(3))
    assert first["MESSAGE"] == "grid: no answer within 0.5 s"
    assert (first["PRIORITY"], first["PART"], first["LOGGER"]) == ("4", "grid", "gateway.test")
    assert first["SYSLOG_IDENTIFIER"] == "meter-gateway"
    assert (second["PRIORITY"], second["PART"]) == ("3", "pv")
    assert first["MESSAGE_ID"] == second["MESSAGE_ID"] != third["MESSAGE_ID"]
    assert len(first["MESSAGE_ID"]) == 32
    assert third["PRIORITY"] == "6" and "PART" not in third


def test_a_message_of_several_lines_stays_one_and_a_secret_is_in_no_field(
    journal: socket.socket, log: logging.Logger
) -> None:
    try:
        raise ValueError("hunter2")
    except ValueError:
        log.exception("%s: bug", "hunter2")
    found = read(journal.recv(65536))
    assert (
        found["MESSAGE"].startswith("***: bug\nTraceback")
        and "\nValueError: ***" in found["MESSAGE"]
    )
    assert not [value for value in found.values() if "hunter2" in value]


def test_a_journal_that_was_started_anew_is_found_and_one_that_is_gone_costs_nothing(
    journal: socket.socket,
    log: logging.Logger,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "socket").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as anew:
        anew.bind(str(tmp_path / "socket"))
        anew.settimeout(5)
        journal.close()
        log.info("it is heard")
        assert read(anew.recv(65536))["MESSAGE"] == "it is heard"
    log.info("nobody listens")
    log.info("x" * 10_000_000)
    assert capsys.readouterr().err.startswith("<6>nobody listens\n<6>xxx")


def test_only_the_stream_that_systemd_names_is_the_journals(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        found = os.fstat(file.fileno())
        assert is_journal(file.fileno(), f"{found.st_dev}:{found.st_ino}")
        for variable in (None, "", "1", "1:2:3", f"{found.st_dev}:{found.st_ino + 1}", "x:y"):
            assert not is_journal(file.fileno(), variable)


@given(
    st.dictionaries(st.sampled_from("ABCDEF"), st.text(st.characters(exclude_categories=["Cs"])))
)
def test_whatever_is_said_is_read_so(fields: dict[str, str]) -> None:
    assert read(datagram(fields)) == fields
