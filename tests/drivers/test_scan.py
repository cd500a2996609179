"""What a search takes for a meter, and what not, on real sockets and ptys."""

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, replace

import msgspec.structs
import pytest

from drivers.found import Found, plausible
from drivers.line import LineUrl, SerialSettings
from drivers.profile import profile_ids
from drivers.sample import Reading
from drivers.scan import FAST, Note, Progress, _settings, device_line, scan
from drivers.simulated.meters import modbus_rtu, modbus_tcp
from drivers.simulated.one_meter import Load, twin_of
from drivers.simulated.push_text import push_text
from drivers.simulated.sml import household
from drivers.simulated.sunspec import INVERTER, METER, SunSpecTwin, chain
from drivers.simulated.wire import paced_line
from gateway.site import config
from gateway.site.device_files import device_file, endpoint_of, names, summary
from tests.drivers.p1.telegrams.encrypted import envelope
from tests.drivers.shipped import shipped_profile, sound_ids

PROFILES = [shipped_profile(each) for each in sound_ids()]
QUICK = replace(
    FAST,
    addresses=(1, 2, 3),
    network_addresses=(1, 2, 3),
    listen_s=0.3,
    timeout_s=0.1,
    network_timeout_s=0.5,
)


async def search(url, search=QUICK):
    """What is found and what is noted on one line."""
    events = []
    await scan([url], [], PROFILES, search, events.append)
    assert not any(isinstance(event, Progress) and event.done > event.total for event in events)
    return [e for e in events if isinstance(e, Found)], [
        e.text for e in events if isinstance(e, Note)
    ]


@contextlib.asynccontextmanager
async def on_tcp(twins):
    async with modbus_tcp(twins) as port:
        yield LineUrl("tcp", "127.0.0.1", port)


def twin(profile_id, power_w=900, serial_number=4711):
    return twin_of(
        shipped_profile(profile_id), Load(power_w, time.time(), 3), time.time, serial_number
    )


@dataclass
class Constant:
    """Answers whatever it is asked with one word: some TCP gateways do so for meters that are not
    there.
    """

    word: int

    def read(self, _function, _address, count):
        return [self.word] * count


# A meter that does not tell its name may be taken for another of the same registers, never for one
# of another kind.
NAMED = [
    p.id
    for p in PROFILES
    if p.protocol == "modbus" and any(not i.is_plausibility for i in p.settings.identify)
]


@pytest.mark.parametrize("profile_id", NAMED)
async def test_a_meter_that_names_itself_is_found_as_what_it_is(profile_id):
    async with on_tcp({2: twin(profile_id)}) as url:
        founds, notes = await search(url)
    assert [found.address for found in founds] == [2]
    assert profile_id in (founds[0].profile.id, *founds[0].also)
    assert notes == []
    assert founds[0].power_w == pytest.approx(900, abs=60)


@pytest.mark.parametrize("word", [0, 0xFFFF])
async def test_a_gateway_that_answers_for_meters_that_are_not_there_is_no_meter(word):
    async with on_tcp({1: Constant(word), 2: Constant(word)}) as url:
        founds, notes = await search(url)
    assert founds == []
    assert [note.partition(",")[0] for note in notes] == ["address 1 answers", "address 2 answers"]


async def test_a_device_that_answers_at_every_address_is_told_once():
    inverter = twin("sunspec/auto", -800)
    async with on_tcp(dict.fromkeys(range(1, 248), inverter)) as url:
        founds, notes = await search(url, replace(QUICK, network_addresses=tuple(range(1, 100))))
    assert [found.address for found in founds] == [1]
    assert notes == ["8 addresses brought nothing new: the others of this line are not asked"]


@pytest.mark.parametrize("address", [0, 255])
async def test_a_device_that_answers_for_itself_alone_is_found(address):
    async with on_tcp({address: twin("eastron/sdm630")}) as url:
        founds, notes = await search(url)
    assert [(found.address, found.profile.id) for found in founds] == [(address, "eastron/sdm630")]
    assert notes == []


async def test_an_inverter_and_the_meter_it_passes_on_are_two_meters():
    load = Load(-1500, time.time())

    class Both:
        def read(self, _function, address, count):
            values = load.values(time.time())
            words = chain(INVERTER, values, "71")[:-2] + chain(METER, values, "72")[2:]
            at = address - 40000
            return (
                words[at : at + count]
                if at >= 0 and at + count <= len(words)
                else SunSpecTwin(INVERTER, dict).read(4, 0, 0)
            )

    async with on_tcp({1: Both()}) as url:
        founds, _ = await search(url)
    assert [(found.profile.id, found.serial_number) for found in founds] == [
        ("sunspec/auto", "71"),
        ("sunspec/meter", "72"),
    ]
    assert [found.text for found in founds] == [
        "meter-gateway simulated inverter",
        "meter-gateway simulated meter",
    ]


class Parts:
    """One device of several parts: each answers for its own registers."""

    def __init__(self, *parts):
        self.parts = parts

    def read(self, function, address, count):
        answers = [part.read(function, address, count) for part in self.parts]
        return next((answer for answer in answers if isinstance(answer, list)), answers[0])


@pytest.mark.parametrize(
    ("inverter", "grid"),
    [
        ("growatt/tl_x", "growatt/tl_x_grid"),
        ("sma/inverter", "sma/grid_meter"),
        ("solax/x3_mic", "solax/x3_mic_grid"),
    ],
)
async def test_an_inverter_and_its_grid_meter_are_found_at_their_one_address(inverter, grid):
    async with on_tcp({3: Parts(twin(inverter, -900), twin(grid, 400))}) as url:
        founds, notes = await search(url)
    assert ({found.profile.id for found in founds}, notes) == ({inverter, grid}, [])
    assert {found.address for found in founds} == {3}
    endpoints = [endpoint_of(found.profile, "port", 3) for found in founds]
    assert not endpoints[1].is_taken(endpoints[:1])
    assert endpoints[1].is_taken(endpoints)
    assert endpoint_of(shipped_profile("abb/b23"), "port", 3).is_taken(endpoints[:1])


async def test_a_grid_meter_that_has_never_counted_is_none():
    class Zeros:
        def read(self, function, address, count):
            found = twin("growatt/tl_x_grid", 0).read(function, address, count)
            return [0] * count if isinstance(found, list) and address > 3030 else found

    async with on_tcp({1: Parts(twin("growatt/tl_x", -900), Zeros())}) as url:
        founds, _ = await search(url)
    assert [found.profile.id for found in founds] == ["growatt/tl_x"]


async def test_an_empty_line_is_searched_to_its_end_and_nothing_is_said():
    async with paced_line(0) as wire:
        assert await search(LineUrl("serial", wire.gateway_end, baud=9600, parity="none")) == (
            [],
            [],
        )


@contextlib.asynccontextmanager
async def pushing(telegram):
    """A port on which the same telegram comes again and again."""

    async def send(fd):
        while True:
            os.write(fd, telegram)
            await asyncio.sleep(0.4)

    async with paced_line(0) as wire:
        fd = os.open(wire.meter_end, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        task = asyncio.create_task(send(fd))
        try:
            yield LineUrl("serial", wire.gateway_end)
        finally:
            task.cancel()
            os.close(fd)


@pytest.mark.parametrize(
    ("telegram", "profile_id", "baud"),
    [
        (Load(1500, time.time()).telegram(1_774_742_400), "dsmr/dsmr5", 115200),
        (
            household(
                {"energy_import_wh": 4_711_000.0, "power_w": 1500.0},
                bytes.fromhex("0a01454d480000123456"),
            ),
            "sml/auto",
            9600,
        ),
        (
            push_text(
                {"energy_import_wh": 4_711_000.0, "energy_export_wh": 12_000.0, "power_w": 1500.0},
                "4711",
            ),
            "iec62056/mode_d",
            9600,
        ),
    ],
)
async def test_a_meter_that_pushes_is_found_by_listening(telegram, profile_id, baud):
    async with pushing(telegram) as url:
        founds, notes = await search(url, replace(QUICK, listen_s=1.5))
    assert [(found.profile.id, found.serial.baud, found.address) for found in founds] == [
        (profile_id, baud, None)
    ]
    assert founds[0].power_w == 1500
    assert notes == []


async def test_a_meter_that_encrypts_is_named_with_what_to_do():
    async with pushing(envelope(b"sealed")) as url:
        founds, notes = await search(url, replace(QUICK, listen_s=1.5))
    assert founds == []
    assert "encrypted and there is no key" in notes[0]
    assert len(notes) == 1


async def test_a_line_on_which_something_unknown_sends_by_itself_is_named():
    async with pushing(b"no telegram ") as url:
        _, notes = await search(
            msgspec.structs.replace(url, baud=9600, parity="none", stop_bits=1),
            replace(QUICK, addresses=(1,)),
        )
    assert "something sends by itself" in notes[0]


async def test_a_meter_with_an_odd_setting_is_found_where_the_url_says_it():
    async with paced_line(0) as wire, modbus_rtu({1: twin("eastron/sdm630")}, wire.meter_end):
        url = LineUrl("serial", wire.gateway_end, baud=38400, parity="odd", stop_bits=1)
        founds, _ = await search(url)
    assert founds[0].serial == SerialSettings(baud=38400, parity="odd")
    assert str(device_line(founds[0])) == f"serial:{wire.gateway_end}?baud=38400&parity=odd"


async def test_rare_addresses_are_asked_first_with_the_setting_that_found_most():
    twins, asked = {}, []

    def tell(event):
        if isinstance(event, Progress):
            asked.append(event.text)
            if event.text.startswith("2400 8N1"):  # only so does the meter speak
                twins[3] = twin("eastron/sdm630")

    async with paced_line(0) as wire, modbus_rtu(twins, wire.meter_end):
        thorough = replace(QUICK, addresses=(3, 201), listen_s=0.1, timeout_s=0.05, fast=False)
        await scan(
            [LineUrl("serial", wire.gateway_end)],
            [],
            [shipped_profile("eastron/sdm630")],
            thorough,
            tell,
        )
    assert asked[1].startswith("9600 8N1")
    assert next(text for text in asked if text.endswith("201")) == "2400 8N1, address 201"


async def test_a_search_that_will_take_long_says_so():
    told = asyncio.get_running_loop().create_future()

    def tell(event):
        if isinstance(event, Note) and not told.done():
            told.set_result(event.text)

    async with paced_line(0) as wire:
        url = LineUrl("serial", wire.gateway_end, baud=9600, parity="none", stop_bits=1)
        endless = replace(QUICK, addresses=(1, *range(130, 240)), listen_s=0.1, timeout_s=1.5)
        task = asyncio.create_task(
            scan([url], [], [shipped_profile("eastron/sdm630")], endless, tell)
        )
        text = await asyncio.wait_for(told, 30)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert text == (
        "the usual addresses have been asked; the other 110 addresses take up to 6 min more — "
        "Ctrl-C ends the search and keeps what was found"
    )


def test_a_setting_that_is_not_the_model_s_own_is_written():
    each = replace(
        found("finder/7m.24"),
        line=LineUrl("serial", "/dev/ttyUSB0"),
        serial=SerialSettings(baud=9600),
    )
    line = device_line(each)
    assert str(line) == "serial:/dev/ttyUSB0?baud=9600&parity=none&stop_bits=1"
    assert line.serial_settings(each.profile.serial) == each.serial


async def test_a_port_that_is_not_there_is_a_note():
    assert "there is no such port" in (await search(LineUrl("serial", "/dev/nowhere")))[1][0]


async def test_what_is_not_searched_says_so():
    [note] = (await search(LineUrl("http", "meter.lan", 80)))[1]
    assert note.startswith("meters on http: are not searched for — write a device file")


async def test_an_endpoint_of_a_whole_network_that_nobody_answers_is_no_news():
    events = []
    await scan([], [LineUrl("tcp", "127.0.0.1", 1)], PROFILES, QUICK, events.append)
    assert events == []


def test_the_settings_that_most_meters_leave_the_factory_with_are_tried_first():
    assert _settings(PROFILES, FAST)[0] == SerialSettings(baud=9600)
    assert len(set(_settings(PROFILES, FAST))) == len(_settings(PROFILES, FAST)) <= 8


# What is read must make sense


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        (
            {
                "energy_import_wh": 5.0,
                "power_w": 100.0,
                "voltage_l1_v": 230.0,
                "frequency_hz": 50.0,
            },
            True,
        ),
        (
            {"energy_import_wh": 0.0, "power_w": 0.0, "voltage_l1_v": 231.0},
            True,
        ),  # new, and without a load
        ({"energy_import_wh": 0.0, "power_w": 0.0, "voltage_l1_v": 0.0}, False),
        ({"power_w": 100.0, "voltage_l1_v": 230.0}, False),
        ({"energy_import_wh": 5.0, "voltage_l1_v": 4.2e9}, False),
        ({"energy_import_wh": 5.0, "frequency_hz": 500.0}, False),
        ({"energy_import_wh": 5.0, "power_w": 1e9}, False),
    ],
)
def test_a_reading_of_a_meter_looks_like_one(values, fits):
    assert plausible(Reading(0.0, values), shipped_profile("eastron/sdm120")) is fits


# Device files


def found(profile_id="eastron/sdm630", **other):
    return Found(
        profile=shipped_profile(profile_id),
        line=LineUrl("tcp", "192.168.1.20", 502),
        address=1,
        **other,
    )


def test_every_meter_gets_a_name_of_its_own():
    founds = [found(), found(), found("carlo_gavazzi/em340"), found("dsmr/dsmr2.2")]
    given = [name for name, _ in names(founds, {"eastron-sdm630"})]
    assert given == ["eastron-sdm630-2", "eastron-sdm630-3", "carlo_gavazzi-em340", "dsmr-dsmr2-2"]


@pytest.mark.parametrize("profile_id", profile_ids())
def test_a_device_file_of_any_profile_is_taken_by_the_configuration(profile_id, tmp_path):
    each = found(
        profile_id, serial_number="4711\ninvert: true", values={"power_w": 12.5}, also=("acme/em1",)
    )
    ((name, _),) = names([each], ())
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / f"{name}.yaml").write_text(device_file(each, device_line(each)))
    device = config.load_device(tmp_path, name)
    assert (device.profile.id, device.address, device.invert) == (profile_id, 1, False)
    assert str(device.line) == "tcp:192.168.1.20:502"


def test_a_summary_is_one_line_with_make_serial_number_and_power():
    assert summary(
        found(serial_number="47\x1b11", values={"power_import_w": 5.0, "power_export_w": 20.0})
    ) == ("Eastron SDM630-Modbus V2, serial number 47 11, -15 W")


@dataclass
class Lovato:
    """A twin of one of the family, that says by function 17 what it is: empty for nothing."""

    twin: object
    server_id: bytes

    def read(self, function, address, count):
        return self.twin.read(function, address, count)


@pytest.mark.parametrize(
    ("profile_id", "says", "found_id"),
    [
        ("lovato/dmg610", b"\x41\x00", "lovato/dmg610"),
        ("lovato/dmg610", b"\x57\x00", "lovato/dmg610"),
        ("lovato/dmg610", b"", "lovato/dmg610"),
        ("lovato/dmed341", b"", "lovato/dmed341"),
        ("lovato/dmed341", b"\x10\x00", "lovato/dmed341"),
    ],
)
async def test_models_that_look_alike_are_told_by_what_they_say_they_are(
    profile_id, says, found_id
):
    async with on_tcp({1: Lovato(twin(profile_id), says)}) as url:
        founds, _ = await search(url)
    assert [found.profile.id for found in founds] == [found_id]


async def test_a_model_is_never_taken_for_one_that_it_says_it_is_not():
    """A DMG610 whose own counters are not where they should be has others, in another scale, where
    a DMED341 keeps its own.
    """
    async with on_tcp({1: Lovato(twin("lovato/dmed341"), b"\x41\x00")}) as url:
        founds, _ = await search(url)
    assert founds == []
