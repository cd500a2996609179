"""`meter-gateway allocate`, beside a daemon that runs."""

import json
from datetime import datetime

import pytest
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.slot import Former, Unallocated
from gateway.store.rows import Closing

# Three hours without a reading in the middle; the panels make 800 W all along, the house takes 400
# W from the grid.
GRID_W, PV_W, SILENT = [400] * 20, [800] * 20, range(36, 250)


@pytest.fixture
def filled(home):
    home.fill(GRID_W, PV_W, silent=SILENT)
    return home


def load_slots(run):
    return [
        r
        for r in json.loads(run("slots", "--json", "--since", "2026-03-28")[1])
        if r["asset"] == "House load"
    ]


def grid_import(run):
    rows = json.loads(run("slots", "--meters", "--json", "--since", "2026-03-28")[1])
    return [r for r in rows if (r["meter"], r["direction"]) == ("grid", "import")]


def test_what_is_in_no_slot_is_listed_and_named_wherever_slots_are_shown(run, filled):
    code, out, err = run("allocate")
    assert code == 0
    assert "gap" in out
    assert "2026-03-29T00:35:00Z" in out
    assert "2026-03-29T04:10:00Z" in out
    assert "1433." in out
    _, _, err = run("slots")
    assert "meter-gateway allocate" in err


def test_energy_is_put_into_the_slots_of_the_gap_and_owed_again_as_revisions(run, filled):
    before = grid_import(run)
    number = next(
        line.split()[0]
        for line in run("allocate")[1].splitlines()
        if "grid" in line and "import" in line
    )
    code, out, _ = run("allocate", "--id", number, "--by", "linear")
    assert code == 0
    assert "Wh put into 15 slots, of which 15 are complete now" in out
    assert "nothing is sent: no asset's slot is complete by this" in out  # the panels lack theirs
    after = grid_import(run)
    assert {row["quality"] for row in after} == {"measured", "estimated"}
    assert [row["energy_wh"] for row in after[3:15]] == pytest.approx([100] * 12, abs=0.5)
    with filled.buffer() as buffer:
        left = next(left for left in buffer.unallocated(int(number)))
        assert left.placed_by == "linear"
        gained_uwh = sum(
            round(((a["energy_wh"] or 0) - (b["energy_wh"] or 0)) * 1e6)
            for a, b in zip(after, before, strict=True)
        )
        assert gained_uwh == left.what.energy_uwh
    pv = next(
        line.split()[0]
        for line in run("allocate")[1].splitlines()
        if "pv" in line and "export" in line
    )
    code, out, _ = run("allocate", "--id", pv, "--by", "linear")
    assert code == 0
    assert "30 numbers are owed" in out  # two assets
    rows = load_slots(run)
    assert [
        (r["revision"], r["delivery"]) for r in rows if r["start_utc"] == "2026-03-29T02:00:00Z"
    ] == [(0, "missed"), (1, "pending")]
    assert rows[-1]["delivery"] == "pending"
    with filled.buffer() as buffer:
        at_s = int(datetime.fromisoformat("2026-03-29T02:00:00Z").timestamp())
        settled = list(buffer.asset_slots(at_s, at_s + 1))
        owed = {o.item.subject: o.item for o in buffer.owed(at_s, at_s + 1)}
        assert [(slot.quality, slot.revision > 0) for slot in settled] == [("estimated", True)] * 2
        assert [slot.energy_uwh for slot in settled] == [owed[s.asset].energy_uwh for s in settled]


def test_where_in_its_step_a_register_began_is_listed_with_all_alone_and_never_placed(run, home):
    home.fill([400] * 4, [800] * 4)
    with home.buffer() as buffer:
        last = list(buffer.slots())[-1]
        began = Unallocated(
            last.device, last.serial_number, last.direction, "start", 0, 900_000, 0, 40_000_000
        )
        state = buffer.counters()[last.device]
        buffer.close(Closing(last.device, *state, (), (), (), (began,)))
        buffer.flush()
    assert "no energy is unallocated" in run("allocate")[1]
    assert "40.000" in run("allocate", "--all")[1]
    assert "unallocated" not in run("slots")[2]
    code, _, err = run("allocate", "--id", "1", "--by", "linear")
    assert code == 1
    assert "passed before metering began" in err


def test_what_cannot_be_placed_is_refused_with_the_reason(run, filled, tmp_path):
    number = next(
        line.split()[0]
        for line in run("allocate")[1].splitlines()
        if "grid" in line and "import" in line
    )
    assert run("allocate", "--id", "99", "--by", "linear")[::2] == (
        1,
        "there is no unallocated energy 99 — meter-gateway allocate lists what there is\n",
    )
    code, _, err = run("allocate", "--id", number)
    assert code == 1
    assert "--by" in err
    code, _, err = run("allocate", "--id", number, "--by", "yesterday")
    assert code == 1
    assert "no known energy the day before" in err
    code, _, err = run("allocate", "--id", number, "--by", "nonsense")
    assert code == 1
    assert "nonsense: is no profile" in err
    short = tmp_path / "short.csv"
    short.write_text("INTERVAL,ENERGY(kWh)\n2026-03-29T00:30,1\n")
    code, _, err = run("allocate", "--id", number, "--by", short)
    assert code == 1
    assert "no line for the slot" in err
    assert run("allocate", "--id", number, "--by", "linear")[0] == 0
    code, _, err = run("allocate", "--id", number, "--by", "linear")
    assert code == 1
    assert f"take it out again first: meter-gateway allocate --id {number} --undo" in err
    assert number not in [
        line.split()[0] for line in run("allocate")[1].splitlines()[3:] if line.strip()
    ]
    assert "by linear" in run("allocate", "--all")[1]


def test_what_was_allocated_is_taken_out_of_its_slots_again(run, filled):
    def without_revision(rows):
        return [{k: v for k, v in row.items() if k != "revision"} for row in rows]

    before = grid_import(run)
    listed = run("allocate")[1]
    number = next(
        line.split()[0] for line in listed.splitlines() if "grid" in line and "import" in line
    )
    assert run("allocate", "--id", number, "--undo")[::2] == (
        1,
        f"{number} is not allocated: there is nothing to undo\n",
    )
    assert run("allocate", "--id", number, "--by", "last_week", "--undo")[0] == 1
    assert run("allocate", "--id", number, "--by", "linear")[0] == 0

    code, out, _ = run("allocate", "--id", number, "--undo")
    assert code == 0
    assert "out of 15 slots again" in out
    assert without_revision(grid_import(run)) == without_revision(before)
    assert run("allocate")[1] == listed
    assert run("allocate", "--id", number, "--by", "linear")[0] == 0


def test_a_csv_file_says_how_it_was_spread(run, filled, tmp_path):
    number = next(
        line.split()[0]
        for line in run("allocate")[1].splitlines()
        if "grid" in line and "import" in line
    )
    lines = [f"2026-03-29T{m // 60:02d}:{m % 60:02d},{int(m == 120)}" for m in range(30, 255, 15)]
    table = tmp_path / "night.csv"
    table.write_text("\n".join(["INTERVAL,ENERGY(kWh)", *lines]))
    assert run("allocate", "--id", number, "--by", table)[0] == 0
    at_two = next(row for row in grid_import(run) if row["start_utc"] == "2026-03-29T02:00:00Z")
    assert at_two["energy_wh"] == pytest.approx(1433, abs=1)


def test_a_running_daemon_goes_on_and_sends_what_is_owed_by_it(run, filled):
    """The daemon's own buffer stays open all the while."""
    with filled.buffer() as daemon:
        numbers = [
            left.number
            for left in daemon.unallocated()
            if left.what.device == "pv" and left.what.direction == "export"
        ]
        assert run("allocate", "--id", str(numbers[0]), "--by", "linear")[0] == 0
        due = [
            owed
            for owed in daemon.outbox("exchange").due(2e9, since_s=None, limit=1000)
            if owed.item.revision == 1
        ]
        assert len(due) == 15
        daemon.add(Sample("grid", "E0031", "boot-1", 0, None, {"power_w": 1.0}))
        daemon.flush()
        assert daemon.unallocated_total()[0] == len(list(daemon.unallocated())) - 1


def test_a_reset_is_called_real_by_the_meters_name(run, home):
    home.fill([400] * 4, [800] * 4)
    code, _, err = run("allocate", "--real", "nobody")
    assert code == 1
    assert "there are grid, pv" in err
    code, _, err = run("allocate", "--real", "grid")
    assert code == 1
    assert "nothing that could be taken back" in err
    assert run("allocate", "--real", "grid", "--undo")[0] == 1

    with home.buffer() as buffer:
        number, state = buffer.counters()["grid"]
        one = state.directions["import"]
        former = Former("reset", one, shown_uwh=7_000_000)
        directions = {**state.directions, "import": replace(one, former=former)}
        reset = replace(state, directions=directions)
        buffer.close(Closing("grid", number, reset, (), (), ()))
        buffer.flush()
    code, out, _ = run("allocate", "--real", "grid")
    assert code == 0
    assert "grid: import: a person says that the reset from" in out
    assert "to 7.000 Wh was real" in out
