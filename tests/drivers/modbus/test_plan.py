"""The planner: every row once, within the meter's limits, in as few requests as can be."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.plan import Block, plan, split
from drivers.modbus.settings import WORDS, RegisterRow, Settings
from drivers.sample import QUANTITIES

NAMES = sorted(QUANTITIES)


@st.composite
def tables(draw: st.DrawFn, widest_hole: int = 60) -> Settings:
    """Tables without overlaps, with holes up to `widest_hole` registers."""
    registers: dict[str, RegisterRow] = {}
    address = draw(st.integers(0, 1000))
    for name in NAMES[: draw(st.integers(1, 20))]:
        kind = draw(st.sampled_from(sorted(WORDS)))
        registers[name] = RegisterRow(
            address=address, type=kind, function=draw(st.sampled_from([3, 4]))
        )
        address += WORDS[kind] + draw(
            st.sampled_from([0, 0, 0, 1, widest_hole]) if widest_hole else st.just(0)
        )
    holes, limit = draw(st.booleans()), draw(st.integers(4, 125))
    return Settings(
        registers=registers,
        holes=holes,
        max_registers=limit,
        turnaround_ms=draw(st.sampled_from([0, 100])),
    )


@given(tables(), st.sampled_from([0.0, 10 / 9600, 11 / 2400]))
def test_every_row_is_read_once_and_whole(settings: Settings, char_s: float) -> None:
    blocks = plan(settings, char_s)
    assert sorted(row.quantity for block in blocks for row in block.rows) == sorted(
        settings.registers
    )
    for block in blocks:
        for row in block.rows:
            assert block.address <= row.address and row.end <= block.address + block.count
            assert settings.registers[row.quantity].function == block.function
            assert settings.registers[row.quantity].address == row.address


@given(tables(), st.sampled_from([0.0, 10 / 9600, 11 / 2400]))
def test_the_meters_limits_are_kept(settings: Settings, char_s: float) -> None:
    for block in plan(settings, char_s):
        assert 1 <= block.count <= settings.max_registers
        if not settings.holes:
            assert block.count == sum(row.words for row in block.rows)


@given(tables(widest_hole=0), st.sampled_from([0.0, 10 / 9600]))
def test_neighbours_take_as_few_requests_as_can_be(settings: Settings, char_s: float) -> None:
    rows = [replace(row, function=4) for row in settings.registers.values()]
    settings = replace(settings, registers=dict(zip(settings.registers, rows, strict=True)))
    fewest, room = 0, 0
    for row in rows:  # taking as much as fits, from the left, is minimal on a line of neighbours
        words = WORDS[settings.type_of(row)]
        if words > room:
            fewest, room = fewest + 1, settings.max_registers
        room -= words
    assert len(plan(settings, char_s)) == fewest


def _two_rows(hole: int, **settings: object) -> Settings:
    rows = {"power_w": RegisterRow(address=0), "energy_import_wh": RegisterRow(address=2 + hole)}
    return Settings(registers=rows, **settings)


def test_a_hole_is_read_across_only_where_the_meter_allows_it() -> None:
    assert len(plan(_two_rows(1, holes=False), 10 / 9600)) == 2
    assert len(plan(_two_rows(1, holes=True), 10 / 9600)) == 1


def test_a_hole_is_read_across_only_while_it_is_cheaper_than_another_request() -> None:
    assert len(plan(_two_rows(15, holes=True), 10 / 9600)) == 1
    assert len(plan(_two_rows(60, holes=True), 10 / 9600)) == 2
    assert len(plan(_two_rows(60, holes=True, turnaround_ms=200), 10 / 9600)) == 1, (
        "a slow meter makes requests dearer"
    )


def test_a_block_may_end_at_the_last_register_there_is() -> None:
    settings = Settings(registers={"power_w": RegisterRow(address=0xFFFE)}, max_registers=2)
    assert [(b.address, b.count) for b in plan(settings, 0.0)] == [(0xFFFE, 2)]


@given(tables(), st.sampled_from([0.0, 10 / 9600]))
def test_splitting_goes_on_until_each_row_is_alone(settings: Settings, char_s: float) -> None:
    blocks = list(plan(settings, char_s))
    alone: list[Block] = []
    while blocks:
        block = blocks.pop()
        parts = split(block)
        assert tuple(row for part in parts for row in part.rows) == (block.rows if parts else ())
        blocks.extend(parts)
        if not parts:
            alone.append(block)
    assert sorted(block.rows[0].quantity for block in alone) == sorted(settings.registers)
    assert all(len(block.rows) == 1 and block.count == block.rows[0].words for block in alone)


def test_a_refused_block_is_split_at_its_widest_hole() -> None:
    addresses = {"voltage_l1_v": 0, "voltage_l2_v": 3, "power_w": 15, "energy_import_wh": 17}
    rows = {name: RegisterRow(address=address) for name, address in addresses.items()}
    (block,) = plan(Settings(registers=rows, holes=True), 10 / 9600)
    assert [[row.quantity for row in part.rows] for part in split(block)] == [
        ["voltage_l1_v", "voltage_l2_v"],
        ["power_w", "energy_import_wh"],
    ]
