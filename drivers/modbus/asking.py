"""Asks a meter as one asks on lines that others use, too, and that nobody has proved yet.

- What came while another master spoke is asked for again: on an RTU line nothing but the moment
  tells whose answer it is.
- A network line that has not answered yet may need time after connecting, or other frames. Both
  are tried once, while the line is open.
"""

from drivers.line import BadReply, Line, LineError, MeterError
from drivers.line_protocol import NEVER_S
from drivers.modbus.bus import answers_otherwise, ask_again_later, listen, request
from drivers.modbus.frames import Question, Silent, other_framing

TRIES = 4
"""So often a value is asked for while another master speaks."""

TAIL_S = 0.03
"""How long is listened after the first answer, and where another master was heard before: an
answer to its question may have been taken for ours, which then comes late.
"""


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
    turns = line.turns
    disturbed: MeterError | None = None
    for _ in range(TRIES):
        before = turns.strangers
        listens = before > 0 or (line.framing == "rtu" and turns.answered_s == NEVER_S)
        try:
            data = await request(line, unit, function, address, count, timeout_s, turnaround_s)
            if listens:
                await listen(line, TAIL_S)
            if turns.strangers == before:
                return data
        except Silent as silence:
            question = Question(unit, function, address, count, turns.requests, timeout_s)
            if found := await _found_otherwise(line, question, turnaround_s):
                return found
            disturbed = silence
        except MeterError as error:
            disturbed = error
        if turns.strangers == before and disturbed is not None:
            raise disturbed

    if disturbed is not None:
        raise disturbed
    raise BadReply(
        f"address {unit}: {turns.strangers} frames came that nobody here had asked for, some "
        "with every answer — a second master is on the bus: take one of the two away"
    )


async def _found_otherwise(line: Line, question: Question, turnaround_s: float) -> bytes | None:
    """What a network line that has never answered says in other circumstances. Raises LineError
    where it speaks in other frames.
    """
    turns = line.turns
    if turns.searched or turns.connected_s == NEVER_S or turns.answered_s != NEVER_S:
        return None
    turns.searched = True
    data = await ask_again_later(line, question, turnaround_s)
    if data is None and await answers_otherwise(line, question):
        raise LineError(other_framing(line.name, line.framing))
    return data
