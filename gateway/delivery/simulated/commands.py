"""What the simulated engine makes of a forecast or a measurement, and the verdicts it gives. Pure.

The engine takes these numbers by batch or one asset at a time. It refuses a whole request for one
bad number, and says so over the websocket only: by HTTP everything is 200.
"""

import math
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from gateway.delivery.simulated.books import moment
from gateway.delivery.simulated.community import Node

UWH_PER_KWH: Final = 10**9

KIND_OF: Final[Mapping[str, str]] = {
    "set_energy_forecast": "forecast",
    "set_energy_measurement": "measurement",
}
"""The commands, and what is booked for them."""


class Unheard(ValueError):
    """A number or time that makes the engine refuse the request."""


def energy_of(command: str, arguments: Mapping[str, object]) -> dict[int, int | None]:
    """µWh by slot; None for NaN and what is beyond all numbers, which it takes and which changes
    nothing. Raises Unheard.

    It does not ask whether a time is the start of a slot, and takes a body without one.
    """
    numbers = arguments.get(f"energy_{KIND_OF[command]}")
    if not isinstance(numbers, dict):
        raise Unheard(f"{numbers!r} holds no slots")
    try:
        return {moment(text): _uwh(value) for text, value in numbers.items()}
    except ValueError as error:
        raise Unheard(str(error)) from None


def _uwh(value: object) -> int | None:
    if not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    if value < 0:
        raise ValueError(f"{value!r} is negative")
    energy_uwh = value * UWH_PER_KWH
    if isinstance(energy_uwh, float) and not math.isfinite(energy_uwh):
        return None
    return round(energy_uwh)


def has_exactly_its_keys(command: str, body: Mapping[str, object]) -> bool:
    """A key too many or too few is refused at once, before the engine looks at the numbers."""
    return body.keys() == {f"energy_{KIND_OF[command]}", "transaction_id"}


def wrong_keys(command: str, transaction_id: object) -> dict[str, object]:
    """The refusal of other keys. It has no `status`."""
    wanted = f"energy_{KIND_OF[command]}"
    return {
        "command": command,
        "error": f"Incorrect {command} request. Available parameters: ({wanted}).",
        "transaction_id": transaction_id,
    }


def verdict(
    command: str, node: Node, arguments: Mapping[str, object], refused: bool
) -> dict[str, object]:
    """The answer to one asset's own request."""
    said: dict[str, object] = {
        "command": command,
        "status": "error" if refused else "ready",
        "transaction_id": arguments.get("transaction_id"),
    }
    if refused:
        said["error_message"] = (
            f"Error when handling _{command}_impl on area {node.name}. Arguments: {arguments}"
        )
    return said


def verdict_in_batch(
    command: str, node: Node, arguments: Mapping[str, object], refused: bool
) -> dict[str, object]:
    """The answer to one command of a batch. It repeats what was sent."""
    said: dict[str, object] = {
        "command": command,
        "status": "error" if refused else "ready",
        "area_uuid": str(node.uuid),
        "transaction_id": arguments.get("transaction_id"),
    }
    if refused:
        said["error_message"] = (
            f"Error when handling {command} on area {node.name} with arguments {arguments}."
        )
    else:
        said[command] = dict(arguments)
    return said


def not_supported(command: object, uuid: UUID) -> dict[str, object]:
    """The answer to a command that an asset or market does not know. Its key is `message`."""
    return {
        "command": command,
        "status": "error",
        "area_uuid": str(uuid),
        "message": f"Command type not supported for device {uuid}",
    }
