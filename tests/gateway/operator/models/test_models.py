"""What every tariff model must do: it is tested because its file is there."""

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.strict_yaml import decode, parse
from gateway.operator.decision import Bounds, decide
from gateway.operator.fee import fee_of
from gateway.operator.model import Asked, Given, Model, OfFees, Proposal
from gateway.operator.models import model_names, model_of
from gateway.operator.statistics import Statistics, parse_statistics
from gateway.operator.tariffs.reading import Tariffs

EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "grid-operator"

BOUNDS = Bounds(
    lowest=fee_of(0.5, "constant"),
    highest=fee_of(5, "constant"),
    step=fee_of(1.5, "constant"),
    fallback=fee_of(2, "constant"),
    fallback_after=2,
)


@cache
def model(name: str) -> Model:
    """The model that the examples of its keys make, as the reference of all keys shows them."""
    module = model_of(name)
    hints = get_type_hints(module.Settings, include_extras=True)
    lines = []
    for key in dataclasses.fields(module.Settings):
        metas = [meta for meta in get_args(hints[key.name]) if isinstance(meta, msgspec.Meta)]
        example = metas[0].examples[0] if metas and metas[0].examples else None
        lines.append(f"{key.name}: {example}")
    document = parse("\n".join(lines), "example.yaml")
    settings = decode(module.Settings, document)
    assert settings is not None, document.problems

    tariffs = Tariffs(EXAMPLE, "constant")
    given_ = Given(
        fee_type="constant", timezone=ZoneInfo("Europe/Berlin"), markets=None, tariffs=tariffs
    )
    return cast(Model, module.build(settings, given_))


NUMBERS = st.none() | st.floats(0, 1e6)

STATISTICS = st.builds(Statistics, import_kwh=NUMBERS, export_kwh=NUMBERS, traded_kwh=NUMBERS)


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    length_s = draw(st.sampled_from([5, 60, 900, 3600]))
    slot = draw(st.integers(10, 2_000_000_000 // length_s))
    near = st.integers(slot - 8, slot + 1).map(lambda n: n * length_s)
    return Asked(
        market=draw(st.sampled_from(["Grid", "Community", "House 1", "another"])),
        slot_s=slot * length_s,
        slot_length_s=length_s,
        statistics=draw(st.dictionaries(near, STATISTICS, max_size=6)),
        loads_kwh=draw(st.dictionaries(near, st.floats(-1e6, 1e6), max_size=6)),
        in_force=draw(st.none() | st.floats(0, 2000).map(lambda fee: fee_of(fee, "constant"))),
        memory=draw(st.dictionaries(st.sampled_from(["step", "since_s"]), st.integers(-5, 2**40))),
        slots_without=draw(st.integers(0, 5)),
    )


@pytest.mark.parametrize("name", model_names())
@given(asked=questions())
def test_its_decisions_are_within_bounds_and_step_and_can_be_stored(
    name: str, asked: Asked
) -> None:
    decision = decide(model(name), asked, BOUNDS)
    assert BOUNDS.lowest <= decision.fee <= BOUNDS.highest
    if asked.in_force is not None:
        start = BOUNDS.within(asked.in_force)
        assert abs(decision.fee.micros - start.micros) <= 1_500_000
    assert decision.why

    stored = json.loads(json.dumps({**decision.inputs, **decision.memory}, allow_nan=False))
    assert all(isinstance(value, int | float) for value in stored.values())
    assert all(type(value) is int for value in decision.memory.values())


@pytest.mark.parametrize("name", model_names())
@given(asked=questions())
def test_it_says_the_same_when_it_is_asked_again(name: str, asked: Asked) -> None:
    assert model(name).propose(asked) == model(name).propose(asked)


@pytest.mark.parametrize("name", model_names())
@given(asked=questions())
def test_it_looks_only_at_what_it_says_it_needs(name: str, asked: Asked) -> None:
    without: Mapping[str, Any] = {
        **({} if model(name).needs_statistics else {"statistics": {}}),
        **({} if model(name).needs_load else {"loads_kwh": {}}),
    }
    less = msgspec.structs.replace(asked, **without)
    assert model(name).propose(asked) == model(name).propose(less)


@pytest.mark.parametrize("name", model_names())
@given(slot=st.integers(10, 2_000_000))
def test_nulls_and_the_root_s_zeros_are_no_inputs(name: str, slot: int) -> None:
    root = parse_statistics(
        {"area_throughput": {"import": 0.0, "export": 0.0}, "avg_trade_rate": None}, is_root=True
    )
    asked = Asked(
        market="Grid",
        slot_s=slot * 900,
        slot_length_s=900,
        statistics={(slot - back) * 900: root for back in range(8)},
    )
    found = model(name).propose(asked)
    assert not (isinstance(found, Proposal) and model(name).needs_statistics)


@pytest.mark.parametrize("name", model_names())
@given(asked=questions())
def test_it_proposes_only_fees_that_it_says_it_has(name: str, asked: Asked) -> None:
    found, known = model(name).propose(asked), model(name)
    if isinstance(found, Proposal) and isinstance(known, OfFees):
        assert found.fee in known.every_fee


@pytest.mark.parametrize("name", model_names())
def test_it_has_the_name_of_its_file(name: str) -> None:
    assert model(name).kind == name
