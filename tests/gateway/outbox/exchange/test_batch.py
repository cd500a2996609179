"""All assets' numbers in one request."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.exchange.batch import MAX_ITEMS, Dialect
from gateway.outbox.item import Item, Kind

A, B = UUID(int=1), UUID(int=2)
T0 = 1_774_746_000


def item(asset: UUID, n: int, kind: Kind = "measurement", revision: int = 0) -> Item:
    return Item("exchange", asset, T0 + 900 * n, kind, revision, 125_000_000 + n)


def test_measurements_come_first_and_each_asset_has_one_command_of_a_kind() -> None:
    items = [item(A, 2, "forecast"), item(A, 0), item(B, 0), item(A, 1)]
    [batch] = Dialect("net", 900).encode(items, "tx")
    assert batch.items == tuple(items)
    assert batch.address == "external-connection/aggregator-api/net/batch-commands/"
    assert batch.payload == {
        "batch_commands": {
            str(A): [
                {
                    "type": "set_energy_measurement",
                    "energy_measurement": {
                        "2026-03-29T01:00": 0.125,
                        "2026-03-29T01:15": 0.125000001,
                    },
                },
                {
                    "type": "set_energy_forecast",
                    "energy_forecast": {"2026-03-29T01:30": 0.125000002},
                },
            ],
            str(B): [
                {
                    "type": "set_energy_measurement",
                    "energy_measurement": {"2026-03-29T01:00": 0.125},
                }
            ],
        },
        "transaction_id": "tx",
    }


@given(
    st.lists(
        st.builds(
            item,
            st.sampled_from([A, B]),
            st.integers(0, 3),
            st.sampled_from(["measurement", "forecast"]),
            st.integers(0, 2),
        ),
        unique=True,
    )
)
def test_every_item_goes_once_and_a_revision_after_what_it_replaces(items: list[Item]) -> None:
    batches = Dialect("net", 900).encode(items, "tx")
    assert [each for batch in batches for each in batch.items] == items
    for batch in batches:
        keys = Counter((each.subject, each.kind, each.slot_s) for each in batch.items)
        assert set(keys.values()) == {1}
        told = sum(
            len(command[f"energy_{command['type'].removeprefix('set_energy_')}"])
            for commands in batch.payload["batch_commands"].values()
            for command in commands
        )
        assert told == len(batch.items)


def test_a_batch_is_bounded() -> None:
    items = [item(asset, n) for n in range(MAX_ITEMS) for asset in (A, B)]
    assert [len(batch.items) for batch in Dialect("net", 900).encode(items, "tx")] == [
        MAX_ITEMS
    ] * 2
