"""`make demo FLEET=2`, as a person runs it: all of it as processes, killed in turn."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway.fleet.postgres import programs


@pytest.mark.long
async def test_database_exchange_and_truth_agree_whatever_is_killed(
    required_tool: Callable[[str], str], tmp_path: Path
) -> None:
    required_tool("mosquitto")
    programs()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "demo", "--fleet", "2", "--folder", str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(400):
        said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == 0, text
    assert "Database, exchange and truth agree." in text
    assert "the broker: 2, of the" in " ".join(text.split())
