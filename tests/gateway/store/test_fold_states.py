"""States of folds are read back as they were written, by this version and by the one before."""

import msgspec
import pytest

from gateway.energy.slot import MeterState
from gateway.store.fold_states import decoded, encoded
from gateway.store.rows import lean
from tests.gateway.energy.samples import fold, meter, steady


@pytest.fixture(scope="module")
def state() -> MeterState:
    found, _, _ = fold(steady(3600, range(0, 5000, 10)), meter())
    assert found is not None
    assert found.directions["import"].refinement is not None
    return found


def test_a_state_reads_back_as_it_was_and_takes_little_room(state: MeterState) -> None:
    written = encoded(state)
    assert decoded(written) == state
    assert len(written) < 0.7 * len(msgspec.json.encode(lean(state)))
    assert msgspec.json.decode(written)["serial_number"] == state.serial_number


def test_a_state_that_is_not_packed_is_read_too(state: MeterState) -> None:
    assert decoded(msgspec.json.encode(lean(state))) == state
    assert decoded(msgspec.json.encode(state)) == state


@pytest.mark.parametrize("damage", ["!", "AAAA", ""])
def test_damaged_directions_are_an_error(state: MeterState, damage: str) -> None:
    raw = msgspec.json.decode(encoded(state))
    raw["directions"] = damage
    with pytest.raises(msgspec.DecodeError):
        decoded(msgspec.json.encode(raw))
