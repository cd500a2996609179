"""A person's word that the markets are to be left at a fee, in a small file beside the buffer,
`<buffer>.fees-stop`. It holds for every start until it is taken back. Shell.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.operator.fee import FeeType

MAX_BYTES = 4096

_ABOUT = (
    "meter-gateway fees stop: the grid operator's agent leaves the markets at this fee, and ends; "
    "fees start takes it back"
)


class Order(Struct, frozen=True):
    """Leave them at that fee, which is in millionths of the network's unit."""

    micros: int
    given_s: float
    fee_type: FeeType | None = None
    """Of the network, as it was known then. None: an older gateway wrote this."""
    done_s: float | None = None
    """When every market was left."""
    left_at: str = ""
    """At which fee: the order's, or what was allowed in its place when it was obeyed."""
    about: str = _ABOUT


class StopOrder(Struct, frozen=True):
    """The file of one buffer."""

    path: Path

    @classmethod
    def beside(cls, buffer: Path) -> "StopOrder":
        """Of that buffer."""
        return cls(buffer.with_name(f"{buffer.name}.fees-stop"))

    def read(self) -> Order | None:
        """None where there is none. Raises ValueError where the file says something else, and
        OSError where it cannot be read.
        """
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise ValueError("it is too large")
            return msgspec.json.decode(self.path.read_bytes(), type=Order)
        except FileNotFoundError:
            return None

    def write(self, order: Order) -> None:
        """Give it. Raises OSError."""
        beside = self.path.with_name(f"{self.path.name}.new")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(order)) + b"\n")
        beside.replace(self.path)

    def take_back(self) -> bool:
        """Whether there was one. Raises OSError."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True
