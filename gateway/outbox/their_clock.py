"""What the receiver's clock says beside ours: the only witness of a clock that only an operator
answers for. Pure.

Numbers of another day are booked to slots that they do not belong to, or dropped in silence. So
where the two are apart by more than slots can be late, nothing is sent until they agree.
"""

from collections.abc import Callable, Mapping

from gateway.outbox.http_replies import http_date

MOST_S = 600.0
"""So far the two may be apart: a clock without a time server goes wrong by minutes in a month."""

HOLDS_S = 300.0
"""What was heard is worth asking for anew after so long."""


class TheirClock:
    """`now` is our Unix time; None where ours needs no witness. `loop_s` is a clock that nobody
    sets.
    """

    def __init__(self, now: Callable[[], float] | None) -> None:
        self._now = now
        self._heard: tuple[float, float] | None = None
        """What it said last (Unix time), and when (`loop_s`)."""
        self.is_missed = False
        """It has answered and not said what time it is there, and ours has no other witness."""

    def hear(self, headers: Mapping[str, str], loop_s: float) -> None:
        """What was asked for was done: the reply is the receiver's own, perhaps with its date
        (RFC 9110, section 6.6.1). One without withdraws what an earlier one said. A refusal is
        nobody's word for the time: it may be of anything on the way.
        """
        if self._now is None:
            return
        date = http_date(headers.get("date", ""))
        self._heard = (date.timestamp(), loop_s) if date else None
        self.is_missed = self.is_missed or date is None

    def is_old(self, loop_s: float) -> bool:
        """Whether what it said is from long ago."""
        return self._heard is not None and loop_s - self._heard[1] > HOLDS_S

    def doubt(self, loop_s: float) -> str:
        """Why nothing may be sent, in words; empty where it may."""
        if self._now is None or self._heard is None:
            return ""
        date_s, heard_s = self._heard
        ahead_s = self._now() - (date_s + loop_s - heard_s)
        if abs(ahead_s) <= MOST_S:
            return ""
        way = "ahead of" if ahead_s > 0 else "behind"
        return (
            f"our clock is {_length(abs(ahead_s))} {way} the exchange's, and no time server "
            "answers for ours (clock: {trust: assured}): nothing is sent until they agree within "
            f"{MOST_S / 60:g} min — set this machine's clock (timedatectl set-time)"
        )


def _length(seconds: float) -> str:
    for unit, unit_s in (("days", 86_400), ("h", 3600)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:,.1f} {unit}"
    return f"{seconds / 60:.0f} min"
