"""Asks a meter as one asks on lines that others use, too, and that nobody has proved yet.

- What came while another master spoke is asked for again: on an RTU line nothing but the moment
  tells whose answer it is. Where ours comes after it, the line is listened to that long: after each
  reading, and after each answer once another master was heard.
- A network line that has not answered yet may need time after connecting, or other frames. Both
  are tried once, while the line is open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from drivers.line import BadReply, Line, LineClosed, LineError, MeterError
from drivers.line_protocol import NEVER_S
from drivers.modbus.bus import answers_otherwise, ask_again_later, listen, request
from drivers.modbus.frames import Question, Silent, other_framing

TRIES = 4
"""So often a value is asked for while another master speaks."""

DISTURBED_S = 600.0
"""So long after another master was heard each answer is doubted."""

Brought = TypeVar("Brought")


async def undisturbed(line: Line, read: Callable[[], Awaitable[Brought]]) -> Brought:
    """What `read` brings by its questions; all of it anew where another master was heard for the
    first time meanwhile, or soon after. Raises as `read`.
    """
    before = line.turns.overheard.strangers
    was_calm = line.framing == "rtu" and not _is_disturbed(line)
    brought = await read()
    if was_calm and (line.turns.overheard.strangers != before or await listen(line)):
        return await read()
    return brought


async def ask(
    line: Line,
    unit: int,
    function: int,
    address: int,
    count: int,
    timeout_s: float,
    turnaround_s: float = 0.0,
) -> bytes:
    """As `bus.request`, with more patience. Raises the same."""
    turns, heard = line.turns, line.turns.overheard
    disturbed: MeterError | None = None
    for _ in range(TRIES):
        before = heard.strangers
        is_first = line.framing == "rtu" and turns.answered_s == NEVER_S
        try:
            data = await request(line, unit, function, address, count, timeout_s, turnaround_s)
            calm = heard.strangers == before
            doubted = (is_first or _is_disturbed(line)) and await listen(line)
            if calm and not doubted:
                return data
        except (Silent, LineClosed) as failure:
            question = Question(unit, function, address, count, turns.requests, timeout_s)
            if found := await _found_otherwise(line, question, turnaround_s, failure):
                return found
            if isinstance(failure, LineClosed):
                raise
            disturbed = failure
        except MeterError as error:
            disturbed = error
        if heard.strangers == before and disturbed is not None:
            raise disturbed

    if disturbed is not None:
        raise disturbed
    raise BadReply(
        f"address {unit}: {heard.strangers} frames came that nobody here had asked for, some "
        "with every answer — a second master is on the bus: take one of the two away"
    )


def _is_disturbed(line: Line) -> bool:
    now_s = asyncio.get_running_loop().time()
    return line.framing == "rtu" and now_s - line.turns.overheard.stranger_s < DISTURBED_S


async def _found_otherwise(
    line: Line, question: Question, turnaround_s: float, failure: Exception
) -> bytes | None:
    """What a network line that has never answered says in other circumstances. Raises LineError
    where it speaks in other frames.
    """
    turns = line.turns
    if turns.searched or turns.connected_s == NEVER_S or turns.answered_s != NEVER_S:
        return None
    turns.searched = True
    data = None
    if not isinstance(failure, LineClosed):  # else that was tried
        data = await ask_again_later(line, question, turnaround_s)
    if data is None and await answers_otherwise(line, question):
        raise LineError(other_framing(line.name, line.framing))
    return data
