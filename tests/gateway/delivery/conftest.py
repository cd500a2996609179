"""What several tests of this room need."""

import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.gateway.delivery.mosquitto import Broker


@pytest.fixture
async def broker(required_tool: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Broker]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker = Broker(required_tool("mosquitto"), tmp_path, port)
    yield broker
    await broker.stop()
