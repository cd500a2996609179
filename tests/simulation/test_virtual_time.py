"""The loop under which a year passes at once."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.simulation.virtual_time import Standstill, VirtualLoop


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


def test_a_virtual_year_passes_at_once(runner: asyncio.Runner) -> None:
    async def sleeps() -> float:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await asyncio.sleep(365 * 86_400)
        return loop.time() - began_s

    assert runner.run(sleeps()) == pytest.approx(365 * 86_400)


def test_timers_run_in_the_order_of_their_times(runner: asyncio.Runner) -> None:
    async def all_of_them() -> list[float]:
        rang: list[float] = []

        async def ring(after_s: float) -> None:
            await asyncio.sleep(after_s)
            rang.append(after_s)

        await asyncio.gather(*map(ring, (3.0, 0.5, 3600.0, 2.0)))
        return rang

    assert runner.run(all_of_them()) == [0.5, 2.0, 3.0, 3600.0]


def test_a_world_in_which_all_wait_for_nothing_is_a_bug(runner: asyncio.Runner) -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Standstill, match="no timer"):
        runner.run(waits())


def test_a_signal_is_delivered_to_who_listens_for_it(runner: asyncio.Runner) -> None:
    async def listens() -> list[str]:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.add_signal_handler(15, heard.append, "TERM")
        loop.deliver(15)
        loop.deliver(2)
        await asyncio.sleep(0)
        assert loop.remove_signal_handler(15) and not loop.remove_signal_handler(15)
        loop.deliver(15)
        await asyncio.sleep(0)
        return heard

    assert runner.run(listens()) == ["TERM"]
