"""`meter-gateway export undelivered`: whole days, or none."""

import pytest

A_DAY = 96
HEADER = "INTERVAL,ENERGY(kWh)"


def days(home, count, *, silent=()):
    """So many days of 400 W from the grid, and nothing from the panels. For speed they are read at
    the slots' ends only, so that energies are estimated; there are none where it is silent.
    """
    between = {minute for minute in range(1440 * count) if minute % 15}
    home.fill([400] * (A_DAY * count), [0] * (A_DAY * count), silent={*between, *silent})


def read_as_the_exchange_does(path):
    """kWh by the start of each slot: what a file leaves open has the value before it, as the
    exchange's reader was seen to do.
    """
    lines = path.read_text().splitlines()
    assert lines[0] == HEADER
    written = dict(line.split(",") for line in lines[1:])
    day = lines[1][:10]
    found, value = {}, "0"
    for n in range(A_DAY):
        at = f"{day}T{n // 4:02}:{n % 4 * 15:02}"
        value = written.get(at, value)
        found[at] = float(value)
    return found


def test_a_day_is_written_with_every_slot_of_it(run, home, tmp_path):
    days(home, 1)
    home.decide("accepted", "")
    home.decide("rejected", "400: unknown asset", [40])
    home.decide("missed", "not delivered before its window closed", [41])
    code, _, err = run("export", "undelivered", "--output", tmp_path, "--asset", "House load")
    assert code == 0
    found = read_as_the_exchange_does(tmp_path / "House-load.csv")
    assert sum(found.values()) == pytest.approx(9.6, abs=0.001), "not 0.1 kWh for the rest of it"
    assert len((tmp_path / "House-load.csv").read_text().splitlines()) == 1 + A_DAY
    assert (
        "House-load.csv: 2026-03-29, every slot; the exchange lacks 2 of them (1 rejected, 1 "
        "missed)"
    ) in err
    assert not (tmp_path / "PV.csv").exists()


def test_a_day_with_a_slot_of_unknown_energy_is_refused_and_named(run, home, tmp_path):
    # The first 50 minutes lack readings: there is no energy for its slots.
    days(home, 1, silent=range(50))
    code, _, err = run("export", "undelivered", "--output", tmp_path, "--asset", "House load")
    assert code == 1
    assert not (tmp_path / "House-load.csv").exists()
    assert "House-load: 2026-03-29 is left out, with 92 slots that the exchange lacks" in err
    assert "the energy of 4 of its slots is not known (00:00Z, 00:15Z, 00:30Z and 1 more)" in err


def test_the_day_that_is_not_over_is_left_out(run, home, tmp_path):
    home.fill([400] * (A_DAY + 4), [0] * (A_DAY + 4))
    code, _, err = run("export", "undelivered", "--output", tmp_path, "--asset", "House load")
    assert code == 0
    assert "2026-03-30 is left out, with 4 slots that the exchange lacks" in err
    lines = (tmp_path / "House-load.csv").read_text().splitlines()
    assert (lines[1][:16], lines[-1][:16]) == ("2026-03-29T00:00", "2026-03-29T23:45")


def test_delivered_days_between_are_written_and_refused_ones_divide_files(run, home, tmp_path):
    # The third day of five has a hole; of the first, second, fourth and fifth, only some lack.
    hole = range(2 * 1440 + 600, 2 * 1440 + 800)
    days(home, 5, silent=hole)
    home.decide("accepted", "")
    for day in (0, 1, 3, 4):
        home.decide("rejected", "400: no", [day * A_DAY + 7])
    home.decide("rejected", "400: no", [2 * A_DAY + 7])
    code, _, err = run("export", "undelivered", "--output", tmp_path, "--asset", "House load")
    assert code == 0
    names = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert names == ["House-load-2026-03-29.csv", "House-load-2026-04-01.csv"]
    for name in names:
        assert len((tmp_path / name).read_text().splitlines()) == 1 + 2 * A_DAY
    assert "2026-03-31 is left out" in err


def test_only_days_of_the_period_are_looked_at(run, home, tmp_path):
    days(home, 2)
    code, _, _ = run("export", "undelivered", "--output", tmp_path, "--since", "2026-03-30T12:00Z")
    assert code == 0
    lines = (tmp_path / "House-load.csv").read_text().splitlines()
    assert (len(lines), lines[1][:16]) == (1 + A_DAY, "2026-03-30T00:00")


def test_nothing_undelivered_writes_nothing(run, home, tmp_path):
    home.fill([400, 400], [0, 0])
    home.decide("accepted", "")
    code, _, err = run("export", "undelivered", "--output", tmp_path / "upload")
    assert code == 0
    assert "the exchange has every slot" in err
    assert not (tmp_path / "upload").exists()


def test_slots_of_seconds_do_not_fit_the_exchange_s_format(run, home, tmp_path):
    home.write("gateway.yaml", (home.folder / "gateway.yaml").read_text().replace("15min", "30s"))
    for name in ("grid", "pv"):
        path = home.folder / "devices" / f"{name}.yaml"
        home.write(f"devices/{name}.yaml", path.read_text().replace("60s", "10s"))
    home.fill([400, 400], [0, 0])
    code, _, err = run("export", "undelivered", "--output", tmp_path / "upload")
    assert code == 1
    assert "slots of 30 s do not begin on whole minutes" in err
    assert not (tmp_path / "upload").exists()
