"""`meter-gateway fees stop` and `fees start`: leave the markets at a fee, and go on again."""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.cli.tables import utc_text
from gateway.cli.terminal import Refused, of_the_machine, reading
from gateway.timing.clock import Sources

if TYPE_CHECKING:
    from gateway.operator.fee import Fee
    from gateway.operator.settings import GridOperator
    from gateway.operator.stop_order import Order, StopOrder
    from gateway.site.settings import Settings

LOOK_S = 1.0
SPARE_SLOTS = 4
"""So many slots more than the steps need may go by until all markets are at their fee."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `stop` takes."""
    parser.add_argument(
        "--at", metavar="FEE", help="for stop: the fee that every market is left at, such as 2.5"
    )


def stop(args: argparse.Namespace, settings: "Settings") -> int:
    """Returns 1 where not every market is at the fee in the end. Raises Refused, StoreError."""
    from gateway.operator.stop_order import Order, StopOrder
    from gateway.store.errors import InUse
    from gateway.store.opening import open_buffer

    operator = _operator_of(settings)
    fee = _fee_of(args, operator)
    order = StopOrder.beside(settings.buffer_path)
    try:
        order.write(Order(fee.micros, time.time(), fee.type))
    except OSError as error:
        raise Refused(of_the_machine(error) or f"{order.path}: {error}") from error

    slots = _most_slots(operator) * int(settings.market.slot)
    try:
        buffer = open_buffer(settings.buffer_path, now_s=time.time(), says="fees stop")
    except InUse:
        print(
            f"The running daemon leaves the markets at {fee} from the next slot on, step by step "
            "where a largest step is set. Ctrl-C: it goes on with that."
        )
        return _wait(settings, order, fee, slots)
    try:
        print(f"No daemon runs here: this command leaves the markets at {fee} itself.")
        is_done = asyncio.run(_leave(settings, buffer, slots))
    finally:
        buffer.close_file()
    return _tell(settings, fee, is_done=is_done)


def start(args: argparse.Namespace, settings: "Settings") -> int:  # noqa: ARG001 — as others
    """Take back what `stop` said. Raises Refused."""
    from gateway.operator.stop_order import StopOrder

    _operator_of(settings)
    order = StopOrder.beside(settings.buffer_path)
    try:
        was_stopped = order.take_back()
    except OSError as error:
        raise Refused(of_the_machine(error) or f"{order.path}: {error}") from error
    if not was_stopped:
        print("The agent is not stopped: there is nothing to take back.")
        return 0
    print("Taken back: a running daemon sets fees again from the next slot on, by its models.")
    return 0


def _operator_of(settings: "Settings") -> "GridOperator":
    from gateway.operator.settings import GridOperator

    if not isinstance(settings.grid_operator, GridOperator):
        raise Refused("there is no grid_operator: in gateway.yaml — there is nothing to stop")
    return settings.grid_operator


def _fee_of(args: argparse.Namespace, operator: "GridOperator") -> "Fee":
    from gateway.operator.fee import FeeError, fee_written

    if args.at is None:
        args.usage_error("stop needs --at FEE: the fee that the markets are left at")
    try:
        fee = fee_written(args.at, operator.settings.fee_type)
    except FeeError as error:
        raise Refused(f"--at {args.at}: {error}") from error
    if operator.bounds.within(fee) != fee:
        lowest, highest = operator.bounds.lowest, operator.bounds.highest
        raise Refused(f"--at {fee}: gateway.yaml allows fees from {lowest} to {highest}")
    return fee


def _most_slots(operator: "GridOperator") -> int:
    bounds = operator.bounds
    if bounds.step is None:
        return SPARE_SLOTS
    return SPARE_SLOTS + -(-(bounds.highest.micros - bounds.lowest.micros) // bounds.step.micros)


async def _leave(settings: "Settings", buffer: object, within_s: float) -> bool:
    """By an agent of our own."""
    from gateway.operator.opening import open_agent
    from gateway.store.buffer import Buffer

    assert isinstance(buffer, Buffer)
    agent = open_agent(
        settings, buffer, now=time.time, steady=Sources().boottime_s, jitter=random.random
    )
    try:
        async with asyncio.timeout(within_s):
            await agent.work()
    except TimeoutError:
        return False
    finally:
        await agent.aclose()
    return True


def _wait(settings: "Settings", order: "StopOrder", fee: "Fee", within_s: float) -> int:
    """Until the daemon has done it."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        with suppress(OSError, ValueError):
            found = order.read()
            if found is None:
                raise Refused("fees start has taken it back meanwhile")
            if found.done_s is not None:
                return _tell_left(settings, found, fee)
        time.sleep(LOOK_S)
    return _tell(settings, fee, is_done=False)


def _tell_left(settings: "Settings", order: "Order", fee: "Fee") -> int:
    """What the daemon has done. Its bounds may be others than those of gateway.yaml as it is now,
    which allow the fee.
    """
    if order.left_at in ("", str(fee)):
        return _tell(settings, fee, is_done=True)
    print(
        f"Every market is left at {order.left_at}: the running daemon was started with a "
        f"gateway.yaml that does not allow {fee}. For {fee} restart it, say fees start, and then "
        "fees stop again.",
        file=sys.stderr,
    )
    return 1


def _tell(settings: "Settings", fee: "Fee", *, is_done: bool) -> int:
    for line in _newest(settings):
        print(line)
    if is_done:
        print(f"Every market is left at {fee}. fees start: the models set fees again.")
        return 0
    print(
        f"Not every market is at {fee} yet. The order stays: a daemon goes on with it. "
        "meter-gateway fees and meter-gateway status say what is in its way.",
        file=sys.stderr,
    )
    return 1


def _newest(settings: "Settings") -> Iterator[str]:
    """The newest slot of each market."""
    with reading(settings) as buffer:
        fees = buffer.tables.grid_fees
        newest_s = fees.newest_s(1 << 40)
        rows = [] if newest_s is None else list(fees.between(newest_s, newest_s + 1))
    for row in rows:
        number = "no fee" if row.fee is None else f"{row.fee / 1_000_000:g}"
        reason = f" ({row.reason})" if row.reason else ""
        yield f"  {row.name}: {number}, {row.state}{reason}, slot {utc_text(row.slot_s)}"
