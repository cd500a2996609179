"""The grid operator's agent, against the stand-in exchange over real sockets."""

from pathlib import Path

from tests.gateway.operator.street import HOUSE, Operator, fixed, running


async def test_a_fixed_fee_is_set_in_every_market_and_taken(tmp_path: Path) -> None:
    async with running(Operator(fixed(3.25)), tmp_path) as street:
        await street.until(lambda: len(street.rows("taken")) >= 6)
        taken = street.rows("taken")
        assert {row.name for row in taken} == {"Grid", "Street", "House 1"}
        assert {row.fee for row in taken} == {3_250_000}
        await street.until(lambda: any(row.in_force is not None for row in street.rows("taken")))
        fees = street.exchange.engine.fees
        house = street.exchange.community.find(HOUSE)
        assert house is not None
        assert fees.in_tree(house)["current_market_fee"] == 3.25
        told = [row for row in street.rows("taken") if row.in_force is not None]
        assert {row.in_force for row in told} == {3_250_000}


async def test_it_is_heard_from_once_the_exchange_has_let_it_in(tmp_path: Path) -> None:
    async with running(Operator(fixed(3.25)), tmp_path) as street:
        assert street.agent.snapshot().is_awaited
        await street.until(lambda: not street.agent.snapshot().is_awaited)
        assert street.agent.snapshot().connection == "heard"


async def test_an_account_without_a_market_is_told_so(tmp_path: Path) -> None:
    async with running(Operator(fixed(3.25), markets=("House 7",)), tmp_path) as street:
        await street.until(lambda: bool(street.agent.snapshot().left_out))
        assert "there is no such market" in street.agent.snapshot().left_out["House 7"]
        assert street.agent.snapshot().is_awaited
