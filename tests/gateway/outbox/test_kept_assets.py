"""Which asset is meant by what is kept, when gateway.yaml was changed."""

from uuid import UUID

import pytest

from gateway.outbox.kept_assets import KeptAsset, moves, remembered

U1, U2, U3 = (UUID(int=n) for n in (1, 2, 3))
LOAD, PV = ("load", "grid.import"), ("pv", "pv.export")


def kept(**assets: tuple[UUID, tuple[str, str]]) -> dict[str, KeptAsset]:
    return {name: KeptAsset(uuid, *what) for name, (uuid, what) in assets.items()}


@pytest.mark.parametrize(
    ("before", "now", "wanted"),
    [
        pytest.param({}, {"A": (U1, LOAD)}, {}, id="first-start"),
        pytest.param({"A": (U1, LOAD)}, {"A": (U1, PV)}, {}, id="other-meters"),
        pytest.param({"A": (U1, LOAD)}, {"A": (U2, LOAD)}, {U1: U2}, id="another-uuid"),
        pytest.param({"A": (U1, LOAD)}, {"A": (U2, PV)}, {U1: U2}, id="the-name-counts"),
        pytest.param({"A": (U1, LOAD)}, {"B": (U1, LOAD)}, {}, id="another-name"),
        pytest.param({"A": (U1, LOAD)}, {"B": (U2, LOAD)}, {U1: U2}, id="name-and-uuid"),
        pytest.param({"A": (U1, LOAD)}, {"B": (U2, PV)}, {}, id="another-asset"),
        pytest.param(
            {"A": (U1, LOAD)}, {"B": (U2, LOAD), "C": (U3, LOAD)}, {}, id="not-plain-which"
        ),
        pytest.param(
            {"A": (U1, LOAD), "B": (U2, PV)},
            {"A": (U2, LOAD), "B": (U1, PV)},
            {U1: U2, U2: U1},
            id="swapped",
        ),
        pytest.param(
            {"A": (U1, LOAD)}, {"A": (U2, LOAD), "B": (U1, PV)}, {U1: U2}, id="new-one-takes-it"
        ),
    ],
)
def test_what_is_kept_goes_with_its_asset(
    before: dict[str, tuple[UUID, tuple[str, str]]],
    now: dict[str, tuple[UUID, tuple[str, str]]],
    wanted: dict[UUID, UUID],
) -> None:
    assert moves(kept(**before), kept(**now)) == wanted


def test_what_is_kept_of_an_asset_that_is_gone_is_never_anothers() -> None:
    before = kept(A=(U1, LOAD), B=(U2, PV))
    now = kept(B=(U1, PV))
    moved = moves(before, now)
    assert moved[U2] == U1
    assert moved[U1] not in (U1, U2)

    # It comes back to what is its own.
    known = remembered(before, now)
    again = kept(A=(U3, LOAD), B=(U1, PV))
    assert moves(known, again) == {moved[U1]: U3}


def test_an_asset_that_was_renamed_is_known_by_its_new_name_alone() -> None:
    before, now = kept(A=(U1, LOAD)), kept(B=(U2, LOAD))
    assert remembered(before, now) == now
