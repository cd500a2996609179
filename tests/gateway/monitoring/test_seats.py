"""Who makes room on the status page."""

import pytest

from drivers.net.addresses import THIS_MACHINE, place_of
from gateway.monitoring.seats import CHANGE_S, Seat, Seats

MOST = 4


class Room:
    """Seats, and who was cut off."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.seats = Seats(MOST, lambda: self.now_s)
        self.cut_off: list[str] = []

    def take(self, place: str, name: str = "") -> Seat | None:
        return self.seats.take(place, lambda: self.cut_off.append(name or place))

    def fill(self, *places: str) -> list[Seat]:
        seats = [self.take(place, f"{place} {n}") for n, place in enumerate(places)]
        return [seat for seat in seats if seat is not None]


def test_this_machine_gets_in_whatever_the_network_does() -> None:
    for places in (["10.0.0.9"] * MOST, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]):
        room = Room()
        room.fill(*places)
        for _ in range(2):
            assert room.take(THIS_MACHINE)
        assert len(room.cut_off) == 2


def test_the_network_takes_no_more_than_its_share_from_this_machine() -> None:
    room = Room()
    room.fill(*[THIS_MACHINE] * (MOST // 2), *["10.0.0.9"] * (MOST // 2))
    room.take("10.0.0.9")
    room.take("10.0.0.9")
    room.take("10.0.0.8")
    assert [each.split()[0] for each in room.cut_off] == ["10.0.0.9"] * 2


def test_within_a_place_the_slowest_makes_room_and_only_now_and_then() -> None:
    room = Room()
    first, *_ = room.fill(*["10.0.0.9"] * MOST)
    first.has_asked = True
    assert room.take("10.0.0.9")
    assert room.cut_off == ["10.0.0.9 1"], "the first has asked"

    assert room.take("10.0.0.9") is None
    room.now_s += 1.5 * CHANGE_S
    assert room.take("10.0.0.9")
    assert room.cut_off[1:] == ["10.0.0.9 2"]


def test_who_has_left_makes_room_once() -> None:
    room = Room()
    seats = room.fill(*["10.0.0.9"] * MOST)
    room.seats.leave(seats[0])
    room.seats.leave(seats[0])
    assert room.take("10.0.0.9")
    assert room.cut_off == []


@pytest.mark.parametrize(
    ("client", "place"),
    [
        ("127.8.9.10", THIS_MACHINE),
        ("::1", THIS_MACHINE),
        ("::ffff:127.0.0.1", THIS_MACHINE),
        ("10.0.0.9", "10.0.0.9"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
        ("fd00::1:2:3:4:5", "fd00:0:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_connections_are_counted_by_where_they_come_from(client: str, place: str) -> None:
    assert place_of(client) == place
