"""No descriptors are left: a line now and then, and all goes on."""

import asyncio
import errno
import logging
import os

import pytest

from gateway.monitoring.exhaustion import LINE_S, Exhaustion


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time stands where it is put."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s


def context(number: int, message: str = "socket.accept() out of system resource"):
    return {"message": message, "exception": OSError(number, os.strerror(number))}


def test_a_cause_is_said_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    loop, heard = Loop(), Exhaustion()
    for _ in range(100):
        heard.handle(loop, context(errno.EMFILE))
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    text = caplog.messages[0]
    assert text.startswith("socket.accept() out of system resource: Too many open files; at most ")
    assert "LimitNOFILE=" in text
    assert caplog.records[0].exc_info is None, "no traceback"

    heard.handle(loop, context(errno.ENFILE))
    assert len(caplog.records) == 2, "another cause"
    loop.now_s = LINE_S
    heard.handle(loop, context(errno.EMFILE))
    assert len(caplog.records) == 3
    loop.close()


@pytest.mark.parametrize("error", [OSError(errno.EPERM, "no"), ValueError("a bug"), None])
def test_all_else_goes_the_usual_way(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop()
    Exhaustion().handle(loop, {"message": "something", "exception": error})
    assert [each.name for each in caplog.records] == ["asyncio"]
    loop.close()
