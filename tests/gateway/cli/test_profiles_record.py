"""`meter-gateway profiles record`: the recording that proves a profile, as the tests take it."""

import asyncio

import pytest

from drivers.profile import load_profile
from drivers.sample import QUANTITIES
from drivers.simulated.meters import ModbusTwin, modbus_tcp
from tests.drivers import test_recordings as recordings
from tests.examples import PROFILE

VALUES = PROFILE / "values.yaml"

THOROUGHLY = {"abb/b23", "carlo_gavazzi/em340", "deye/hybrid_grid", "eastron/sdm630", "saia/ale3"}
"""Models whose made recordings are read over a line: big and small words, words apart, texts."""


@pytest.fixture
def acme(home):
    """The profile of the example is one of this site."""
    text = (PROFILE / "acme" / "em1.yaml").read_text(encoding="utf-8")
    return home.write("hardware_profiles/acme/em1.yaml", text)


async def proves(recording: recordings.Recording) -> None:
    """Every test of a recording passes."""
    for image in recording.readings:
        recordings.test_a_recording_tells_every_quantity_of_its_profile(recording, image)
        await recordings.test_the_driver_reads_the_recorded_values(recording, image)
    for frame in recording.frames:
        await recordings.test_a_recorded_frame_is_sent_and_understood_byte_for_byte(
            recording, frame
        )
    recordings.test_what_identifies_the_model_is_recorded_and_matches(recording)


# --- of values ---


def test_what_is_made_of_values_is_what_was_worked_out_by_hand(run, acme, tmp_path):
    code, out, err = run(
        *("profiles", "record", "acme/em1", "--values", VALUES),
        *("--output", tmp_path / "acme-em1.yaml"),
    )
    assert (code, err) == (0, "")
    assert "6 values, 3 frames" in out
    made = recordings.load(tmp_path / "acme-em1.yaml")
    by_hand = recordings.load(PROFILE / "recordings" / "acme-em1.yaml")
    assert (made.profile, made.serial_number) == (by_hand.profile, by_hand.serial_number)
    assert made.readings[0].registers == by_hand.readings[0].registers
    assert made.readings[0].values == by_hand.readings[0].values
    assert by_hand.frames[1].reply in {frame.reply for frame in made.frames}


@pytest.mark.parametrize("recording", recordings.RECORDINGS, ids=lambda each: each.profile)
async def test_of_every_model_a_recording_can_be_made_that_passes(recording, tmp_path, run):
    image = next((each for each in recording.readings if not each.missing), None)
    if image is None:
        return  # there is none that shows everything
    lines = [f"{quantity}: {value}" for quantity, value in image.values.items()]
    if load_profile(recording.profile).settings.serial_number is not None:
        lines.append(f'serial_number: "{recording.serial_number}"')
    values, path = tmp_path / "values.yaml", tmp_path / "made.yaml"
    values.write_text("\n".join(lines))
    words = ("record", recording.profile, "--values", values, "--output", path)
    code, _, err = run("profiles", *words)
    assert (err, code) == ("", 0)
    made = recordings.load(path)
    assert made.readings[0].values == pytest.approx(image.values, rel=3e-7)
    if recording.profile in THOROUGHLY:
        await proves(made)


def test_what_lies_between_words_that_lie_apart_is_recorded_too(run, acme, tmp_path):
    was = "{address: 0x0008, type: uint16, "
    assert was in acme.read_text()
    now = "{address: 0x0020, high_address: 0x0022, type: uint32, "
    acme.write_text(acme.read_text().replace(was, now).replace("holes: true", "holes: false"))
    path = tmp_path / "made.yaml"
    code, _, err = run("profiles", "record", "acme/em1", "--values", VALUES, "--output", path)
    assert (err, code) == ("", 0)
    made = recordings.load(path)
    assert made.readings[0].registers["3"]["0x0020"] == "08FE 0000 0000"
    frame = next(each for each in made.frames if "voltage_l1_v" in each.values)
    assert frame.request.startswith("01 03 00 20 00 03")


def test_without_a_source_it_prints_what_to_state_and_takes_that(run, acme, tmp_path):
    code, out, _ = run("profiles", "record", "acme/em1")
    assert code == 0
    for quantity in ("energy_import_wh", "power_w", "current_l1_a"):
        assert f"{quantity}:   # in " in out
        assert QUANTITIES[quantity] in out
    values = tmp_path / "values.yaml"
    values.write_text(out)
    code, _, err = run("profiles", "record", "acme/em1", "--values", values)
    assert code == 1
    assert err.count("expected a number") == 6, "all gaps in one round"
    assert f"{values}:4: energy_import_wh: expected a number — it is energy imported" in err


def test_all_that_its_registers_cannot_tell_is_named_in_one_round(run, acme, tmp_path):
    text = VALUES.read_text()
    for right, wrong in (
        ("123450", "123456"),
        ("current_l1_a: 1.955", "curent_l1_a: 1.955"),
        ("230.2", "230.27"),
        ('"20260329"', "20260329"),
        ("49.98", "sixty"),
        ("power_w: 450", "power_w: 4.5e11"),
    ):
        assert right in text
        text = text.replace(right, wrong)
    values = tmp_path / "values.yaml"
    values.write_text(text)
    code, _, err = run("profiles", "record", "acme/em1", "--values", values)
    assert code == 1
    told = [line.removeprefix(f"{values}:").partition(" — ")[0] for line in err.splitlines()]
    assert told == [
        "2: key 'current_l1_a' is missing",
        "2: serial_number: expected text",
        "3: energy_import_wh: 123456: its registers can tell 123450",
        "5: power_w: expected a number",
        "6: frequency_hz: expected a number",
        "7: voltage_l1_v: 230.27: its registers can tell 230.3",
        "8: curent_l1_a: acme/em1 does not read it",
    ]
    assert "did you mean 'current_l1_a'?" in err


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ('"4294967296"', "does not fit its registers — a number from 1 to 4294967295"),
        ('"0"', "does not fit its registers — a number from 1"),
        ('"E4711"', "does not fit its registers — a number from 1"),
    ],
)
def test_a_serial_number_that_its_registers_cannot_hold_is_named(run, acme, tmp_path, number, told):
    values = tmp_path / "values.yaml"
    values.write_text(VALUES.read_text().replace('"20260329"', number))
    code, _, err = run("profiles", "record", "acme/em1", "--values", values)
    assert code == 1
    assert told in err


def test_what_it_is_identified_by_must_fit_the_stated_values(run, tmp_path):
    """A voltage by which no search would find the meter."""
    found = next(each for each in recordings.RECORDINGS if each.profile == "eastron/sdm120")
    stated = {**found.readings[0].values, "voltage_l1_v": 23.5}
    lines = [f"{quantity}: {value}" for quantity, value in stated.items()]
    values = tmp_path / "values.yaml"
    values.write_text("\n".join([*lines, 'serial_number: "17530642"']))
    code, _, err = run("profiles", "record", "eastron/sdm120", "--values", values)
    assert code == 1
    assert "eastron/sdm120: register 0, by which `identify` tells the model, holds 41 BC" in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("eastron/sdm120", "--values", "none.yaml"), 1, "none.yaml: cannot be read: No such"),
        (("dsmr/dsmr5",), 1, "--record tests/recordings/dsmr-dsmr5.jsonl --redact"),
        (("eastron/sdm12",), 1, "did you mean 'eastron/sdm120'?"),
        (("eastron/sdm120", "--values", "v", "--device", "pv"), 2, "one of them is enough"),
        (("eastron/sdm120", "--line", "udb:x"), 2, "udb"),
        (("eastron/sdm120", "--device", "nobody"), 1, "nobody"),
        (("eastron/sdm120", "--line", "http://10.0.0.7"), 1, "is not read over http:"),
    ],
)
def test_what_cannot_be_recorded_is_said(run, words, code, told):
    found, _, err = run("profiles", "record", *words)
    assert found == code
    assert told in err


def test_a_recording_that_is_there_is_left_alone(run, acme, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    code, _, err = run("profiles", "record", "acme/em1", "--values", VALUES, "--output", path)
    assert code == 1
    assert "is there already" in err
    assert path.read_text() == "mine"


# --- of a meter ---


def meter(profile_id, number=20_110_001):
    values = {
        "energy_import_wh": 12_345_678.0,
        "energy_export_wh": 4_000.0,
        "power_w": 1_234.5,
        "voltage_l1_v": 230.5,
        "frequency_hz": 49.98,
    }
    return ModbusTwin(load_profile(profile_id), lambda: values, number)


async def test_of_a_meter_it_is_made_without_its_serial_number(home, run, tmp_path):
    number = 20_110_001
    for profile_id, rtu in (
        ("eastron/sdm630", False),
        ("carlo_gavazzi/em340", True),
        ("abb/b23", False),
    ):
        path = tmp_path / f"{profile_id.replace('/', '-')}.yaml"
        scheme = "rtu+tcp" if rtu else "tcp"
        async with modbus_tcp({3: meter(profile_id, number)}, rtu=rtu) as port:
            line = f"{scheme}:127.0.0.1:{port}"
            words = ("record", profile_id, "--line", line, "--address", "3", "--output", path)
            code, out, err = await asyncio.to_thread(run, "profiles", *words)
        assert (err, code) == ("", 0)
        assert "compare its values with the meter's display" in out

        made = recordings.load(path)
        assert made.address == 3
        await proves(made)
        held = path.read_text().replace(" ", "")
        for told in (str(number), f"{number:08X}", str(number).encode().hex().upper()):
            assert told not in held
        assert made.readings[0].values["power_w"] == pytest.approx(1234.5, rel=1e-3)


async def test_a_meter_of_this_site_is_recorded_by_its_name(home, run, tmp_path):
    path = tmp_path / "made.yaml"
    async with modbus_tcp({7: meter("eastron/sdm630")}) as port:
        line = f"line: tcp:127.0.0.1:{port}\naddress: 7\n"
        home.write("devices/heat.yaml", f"profile: eastron/sdm630\n{line}")
        words = ("record", "eastron/sdm630", "--device", "heat", "--output", path)
        code, _, err = await asyncio.to_thread(run, "profiles", *words)
    assert (err, code) == ("", 0)
    assert recordings.load(path).address == 7


async def test_what_a_meter_refuses_is_named_and_nothing_is_written(acme, run, tmp_path):
    """The meter is another: it has none of what tells ours, and not all of its values."""
    lacking = acme.read_text().replace("    frequency_hz:", "    #")
    other = acme.with_name("em0.yaml")
    other.write_text(lacking.replace("0x0102, values: [0x0E01]", "0x0102, values: [0x0E00]"))
    folders = (acme.parents[1],)
    twin = ModbusTwin(load_profile("acme/em0", *folders), lambda: {"power_w": 450.0})
    path = tmp_path / "made.yaml"
    async with modbus_tcp({1: twin}) as port:
        # Registers beyond its own are refused.
        text = acme.read_text().replace("0x000B", "0x0200")
        acme.write_text(text)
        words = ("record", "acme/em1", "--line", f"tcp:127.0.0.1:{port}", "--output", path)
        code, _, err = await asyncio.to_thread(run, "profiles", *words)
    assert code == 1
    assert "acme/em1: frequency_hz: the meter refuses register 512 — take the row out" in err
    assert "acme/em1: register 258, by which `identify` tells the model, holds 0E 00" in err
    assert not path.exists()
