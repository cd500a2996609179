"""Which of a registry's assets are meant, and where it says otherwise."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox.exchange.registry import (
    MAX_DEPTH,
    Node,
    Unreadable,
    Wanted,
    registry_in,
    resolve,
)

LOAD, PV, OTHER = (UUID(f"26090dea-0000-4000-8000-{n:012d}") for n in (1, 2, 3))
HERE = UUID(int=7)


def leaf(name: str, uuid: UUID, kind: str = "Load") -> dict[str, object]:
    return {"name": name, "type": kind, "uuid": str(uuid), "registered": True, "children": None}


def tree(*leaves: dict[str, object]) -> list[Node]:
    house = {"name": "House 1", "type": "Area", "uuid": str(OTHER), "children": list(leaves)}
    grid = {"name": "Grid", "type": "Area", "children": [house], "attributes": {"a": [1]}}
    return registry_in(json.dumps(grid).encode())


def by_name(name: str = "House", kind: str = "load") -> Wanted:
    return Wanted(HERE, name, kind, is_by_name=True)


def by_uuid(uuid: UUID, name: str = "House", kind: str = "load") -> Wanted:
    return Wanted(uuid, name, kind, is_by_name=False)


def test_the_tree_is_told_market_by_market() -> None:
    nodes = tree(leaf("House", LOAD), leaf("PV", PV, "PV"))
    assert [(node.depth, node.name, node.kind, node.is_market) for node in nodes] == [
        (0, "Grid", "Area", True),
        (1, "House 1", "Area", True),
        (2, "House", "load", False),
        (2, "PV", "pv", False),
    ]


@pytest.mark.parametrize(
    ("leaves", "wanted", "there", "words"),
    [
        ([leaf("House", LOAD)], by_name(), LOAD, None),
        ([leaf("House", LOAD)], by_uuid(LOAD), LOAD, None),
        ([leaf("Haus", LOAD)], by_name(), None, ("name", "no asset of the network is named")),
        (
            [leaf("House", LOAD), leaf("House", PV, "PV")],
            by_name(),
            None,
            ("name", f"2 assets of the network are named 'House': {LOAD} (Load), {PV} (PV)"),
        ),
        ([leaf("Haus", LOAD)], by_uuid(LOAD), LOAD, ("name", "is named 'Haus' in the exchange")),
        ([leaf("House", PV)], by_uuid(LOAD), LOAD, ("uuid", f"has the UUID {LOAD}")),
        ([leaf("House", LOAD, "LoadProfile")], by_uuid(LOAD), LOAD, None),
        ([leaf("House", PV, "PVUserProfile")], by_uuid(PV, kind="pv"), PV, None),
        ([leaf("House", LOAD, "PV")], by_name(), LOAD, ("kind", "House is a PV in the exchange")),
        ([leaf("House", LOAD, "Storage")], by_uuid(LOAD), LOAD, ("kind", "is a Storage")),
    ],
)
def test_what_is_otherwise_is_named_with_its_key(
    leaves: list[dict[str, object]],
    wanted: Wanted,
    there: UUID | None,
    words: tuple[str, str] | None,
) -> None:
    resolved = resolve(tree(*leaves), [wanted])
    assert resolved.by_asset == {wanted.id: there}
    if words is None:
        assert resolved.differences == []
    else:
        [difference] = resolved.differences
        assert difference.key == words[0] and words[1] in difference.message
        assert difference.hint


def test_of_many_names_the_nearest_is_told() -> None:
    many = [leaf(f"Flat {n}", UUID(int=n)) for n in range(20)]
    [difference] = resolve(tree(leaf("House ", LOAD), *many), [by_name()]).differences
    assert difference.hint == "did you mean 'House '?"


def test_a_market_is_no_asset_though_it_has_the_name() -> None:
    assert resolve(tree(leaf("House", LOAD)), [by_name("House 1")]).by_asset == {HERE: None}


def test_a_uuid_that_is_gone_is_told_with_the_one_that_its_name_has_now() -> None:
    [difference] = resolve(tree(leaf("House", PV)), [by_uuid(LOAD)]).differences
    assert str(PV) in difference.hint and "made anew" in difference.hint


@given(st.binary(max_size=100))
def test_what_is_no_registry_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(Unreadable):
        registry_in(body)


def test_a_tree_without_end_is_refused() -> None:
    found: dict[str, object] = leaf("deep", LOAD)
    for _ in range(MAX_DEPTH + 2):
        found = {"name": "m", "type": "Area", "children": [found]}
    with pytest.raises(Unreadable, match="nested"):
        registry_in(json.dumps(found).encode())
    with pytest.raises(Unreadable):
        registry_in(b'{"name":"a","children":[' * 50_000)
