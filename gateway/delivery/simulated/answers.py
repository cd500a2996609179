"""What the simulated exchange answers, and what it wants of a request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Sends = Literal["all", "half", "nothing"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP reply, and how it goes out: `delay_s` after the request, and whole, up to the middle
    of its body, or not at all; where it is not whole, the connection ends.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    sends: Sends = "all"


class Refused(Exception):
    """The request is refused with this answer."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.answer = json_answer(status, {"detail": detail})


def json_answer(status: int, data: object) -> Answer:
    """A whole answer with a JSON body."""
    return Answer(status, json.dumps(data).encode())


def object_in(headers: Mapping[str, str], body: bytes) -> dict[str, object]:
    """The JSON object in a request, with no key twice. NaN and Infinity are taken, as Python takes
    them. Raises Refused.
    """
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "the body must be application/json")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    try:
        data = json.loads(body, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise Refused(400, "the body must be a JSON object")
    return data


def exactly(data: Mapping[str, object], keys: set[str]) -> None:
    """Raises Refused where a key is missing, or one too many."""
    if data.keys() != keys:
        raise Refused(400, f"the keys must be exactly {', '.join(sorted(keys))}")


def number(value: object) -> float:
    """Raises Refused where it is no number that could be an energy."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise Refused(400, f"{value!r} is not a number from 0 to 10⁹")
    return value


def uuid_in(text: object) -> UUID | None:
    """The UUID that is written in the usual form; None where it is something else."""
    try:
        uuid = UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return uuid if str(uuid) == text else None
