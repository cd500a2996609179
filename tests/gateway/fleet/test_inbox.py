"""What waits to be stored: live first, bounded in bytes; and who takes which site."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.inbox import Delivered, Inbox
from gateway.fleet.sharing import collector_of
from tests.draws import draws


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 900)), max_size=60))
@draws(100)
def test_it_is_bounded_and_backlog_never_keeps_live_out(came: list[tuple[bool, int]]) -> None:
    inbox = Inbox(max_bytes=3_000)
    live_bytes = 0
    for n, (live, size) in enumerate(came):
        delivered = Delivered(f"{'live' if live else 'old'}-{n}", bytes(size), 0.0)
        inbox.put(delivered, live=live)
        live_bytes += delivered.bytes if live else 0
        assert inbox.bytes <= 3_000
    found = []
    while (delivered := inbox.take()) is not None:
        found.append(delivered)
    assert inbox.bytes == 0
    assert len(found) + inbox.dropped == len(came)
    assert inbox.replaced == 0
    kinds = [each.site.startswith("live") for each in found]
    assert kinds == sorted(kinds, reverse=True), "live comes first"
    order = [int(each.site.partition("-")[2]) for each in found]
    assert order[: sum(kinds)] == sorted(order[: sum(kinds)])
    if live_bytes <= 3_000:
        assert sum(kinds) == sum(live for live, _ in came), "all that is live is there"


def test_every_site_has_one_collector_and_few_change_hands_when_one_goes() -> None:
    sites = [f"home-{n}" for n in range(2_000)]
    three = {site: collector_of(site, ["a", "b", "c"]) for site in sites}
    for name in "abc":
        assert 500 < sum(each == name for each in three.values()) < 850
    two = {site: collector_of(site, ["a", "c"]) for site in sites}
    assert all(two[site] == name for site, name in three.items() if name != "b")


def test_the_order_in_which_collectors_are_known_does_not_matter() -> None:
    assert collector_of("home-1", ["a", "b"]) == collector_of("home-1", ["b", "a"])
    assert collector_of("home-1", []) == ""


def test_what_is_sent_again_takes_the_place_of_what_waits() -> None:
    inbox = Inbox(max_bytes=5_000)
    for n in range(40):
        inbox.put(Delivered("home-1", bytes([n]) * 100, 0.0), live=False)
        inbox.put(Delivered("home-2", bytes([n]) * 200, 0.0), live=False)
    assert len(inbox) == 2
    assert inbox.replaced == 78
    first, second = inbox.take(), inbox.take()
    assert first is not None
    assert second is not None
    assert (first.site, first.payload[0]) == ("home-1", 39), "its place, and the newest"
    assert second.site == "home-2"
    assert inbox.bytes == 0

    inbox.put(Delivered("home-1", bytes(100), 0.0), live=False)
    inbox.put(Delivered("home-1", bytes(9_000), 0.0), live=False)
    assert (len(inbox), inbox.bytes, inbox.dropped) == (0, 0, 1)
