"""`meter-gateway check`, and the example that comes with it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from gateway.cli.commands.check import schema_names, schema_of
from gateway.delivery import kinds
from gateway.delivery.kinds.exchange import HttpUrl
from tests.gateway.cli.conftest import PV_METER

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples" / "home"

TEN_MISTAKES = """\
site: home-12
market: {slott: 15min}
exchange:
  dialect: sdkk
  canary_network: 8a2c0f3e-5d1b-4c77-9f64
  credentials: exchange.credentials
assets:
  - {name: House load, uuid: 26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1, kind: load,
      energy: gird.import - grid.export}
  - {name: PV, uuid: cf3b262c-1c0e-4d0b-8f0e-6f3f0e4b7a52, kind: pv, energy: pv.export * 2}
  - {name: Heat pump, uuid: 5b7d9e10-3a44-4f0c-9f0a-2b6f1c8d4e63, kind: heat_pump}
status: {port: "8080"}
"""


def test_a_right_configuration_is_told_in_a_few_lines(run, home):
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert "no mistakes. Site home-12, slots of 15 min." in out
    assert re.search(r"^Time zone \S+ \(.+\)\.$", out, re.MULTILINE)
    assert (
        "pv: eastron/sdm120 on serial:/dev/ttyUSB1?baud=9600 address 2, every 1 min: export and "
        "import; 11 quantities"
    ) in out
    assert (
        "House load (load, 26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1) = grid.import - grid.export + "
        "pv.export"
    ) in out
    assert "beginning 7.2 s into each slot, the turn of a site of this name" in out
    assert "secret" not in out


@pytest.mark.parametrize(
    ("dialect", "forecast", "says"),
    [
        ("sdk", "forecast: none", "per slot a measurement:"),
        ("sdk", "forecast: auto", "per slot a measurement and a forecast (auto):"),
        ("sdk", "forecast_bias: sums within 5 %", "a forecast (auto, sums within 5 %):"),
        ("rest", "forecast: auto", "per slot a measurement:"),
        ("rest", "rest: {sends: forecast}", "per slot a forecast (auto):"),
    ],
)
def test_what_is_sent_of_each_slot_is_told(run, home, dialect, forecast, says):
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")
    text = text.replace("dialect: sdk", f"dialect: {dialect}")
    home.write("gateway.yaml", text.replace("forecast: none", forecast))
    assert says in run("check")[1]


def test_a_site_s_turn_follows_the_spread_and_leaves_time_to_deliver(run, home):
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")
    for spread, says in (
        ("0s", "measurement:\n  House"),
        ("5min", "beginning 62.7 s into"),
        ("6min", "at most a third of the slot, 300s"),
    ):
        home.write("gateway.yaml", text.replace("exchange:", f"exchange:\n  spread: {spread}", 1))
        assert says in run("check")[1]
    home.write(
        "gateway.yaml",
        text.replace("slot: 15min", "slot: 15s").replace("market: {", "market: {max_gap: 2h, "),
    )
    home.write(
        "devices/grid.yaml", "profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\ninterval: 5s\n"
    )
    home.write(
        "devices/pv.yaml",
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: 2\ninterval: 5s\n",
    )
    assert "beginning" not in run("check")[1], "slots of seconds are for trying things out"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("heat_pump", "takes no energy of a heat pump: it answers 200, and forgets it — write "),
        ("storage", "takes no energy of a storage: it answers 200, and forgets it — make two "),
        ("smart_meter", "takes no energy of a smart meter: it answers 200, and forgets it — make "),
    ],
)
def test_a_kind_of_asset_that_the_exchange_forgets_is_named_and_can_be_another_there(
    run, home, kind, says
):
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")
    home.write("gateway.yaml", text.replace("kind: pv", f"kind: {kind}"))
    code, out, _ = run("check")
    assert code == 1
    assert f"assets[1].kind: the exchange {says}" in out
    assert "(the daemon starts with it, and warns)" in out

    home.write("gateway.yaml", text.replace("kind: pv", f"kind: {kind}, delivered_as: load"))
    code, out, _ = run("check")
    assert code == 0
    assert f"PV ({kind} as load, " in out


def test_a_lead_leaves_time_to_deliver(run, home):
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")
    for lead, says in (("15s", "no mistakes"), ("16s", "at most a sixtieth of the slot")):
        home.write("gateway.yaml", text.replace("exchange:", f"exchange:\n  lead: {lead}", 1))
        assert says in run("check")[1]


def test_a_meter_that_may_encrypt_and_has_no_key_is_told(run, home):
    home.write("devices/grid.yaml", "profile: p1/austria\nline: serial:/dev/ttyUSB0\n")
    code, out, _ = run("check")
    assert code == 0
    assert "grid: p1/austria on serial:/dev/ttyUSB0" in out
    assert (
        "    no key, which it needs if its telegrams are encrypted: ask the network operator, "
        "and name its file here as key: FILE\n"
    ) in out
    home.write(
        "devices/grid.yaml", "profile: p1/austria\nline: serial:/dev/ttyUSB0\nkey: grid.key\n"
    )
    home.write("grid.key", "encryption_key: '6b6579206f6620746865206d65746572'\n", mode=0o600)
    assert "no key" not in run("check")[1]


def test_ten_and_more_different_mistakes_are_all_named_in_one_run(shell, home):
    home.write("gateway.yaml", TEN_MISTAKES)
    home.write("devices/grid.yaml", "profile: dsmr/dsmr55\nline: serial:/dev/ttyUSB0\n")
    home.write(
        "devices/pv.yaml",
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: 2\n",
    )
    home.write(
        "devices/roof.yaml",
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: 2\n",
    )
    home.write("devices/heat.yaml", "profile: [eastron\n")
    home.write("devices/car.yaml", "profile: eastron/sdm630\nline: ttyUSB3\ninterval: often\n")
    home.write("exchange.credentials", "username: somebody\npassword: secret\n", mode=0o644)
    done = shell("check", "--config", home.folder)
    assert done.returncode == 1
    folder = home.folder
    for beginning, ending in (
        (f"{folder}/gateway.yaml:2: market.slott: unknown key", "did you mean 'slot'?"),
        (
            f"{folder}/gateway.yaml:4: exchange.dialect: there is no dialect 'sdkk'",
            "did you mean 'sdk'?",
        ),
        (
            f"{folder}/gateway.yaml:5: exchange.canary_network: invalid UUID",
            "8-4-4-4-12 hexadecimal digits",
        ),
        (
            f"{folder}/gateway.yaml:9: assets[0].energy: there is no meter 'gird'",
            "did you mean 'grid'?",
        ),
        (
            f"{folder}/gateway.yaml:10: assets[1].energy: cannot read '* 2' in the formula",
            "such as grid.import - pv.export",
        ),
        (f"{folder}/gateway.yaml:11: assets[2]: key 'energy' is missing", ""),
        (
            f"{folder}/gateway.yaml:12: status.port: expected a whole number, found the text "
            "'8080'",
            "write 8080",
        ),
        (
            f"{folder}/devices/grid.yaml:1: profile: there is no profile 'dsmr/dsmr55'",
            "did you mean 'dsmr/dsmr5'?",
        ),
        (
            f"{folder}/devices/roof.yaml:3: address: pv already has address 2 on this line",
            "on the meter and here",
        ),
        (
            f"{folder}/devices/heat.yaml:2: not valid YAML",
            "check indentation, colons and quotes here",
        ),
        (
            f"{folder}/devices/car.yaml:2: line: 'ttyUSB3' does not begin with serial:, tcp: or "
            "rtu+tcp:",
            "",
        ),
        (
            f"{folder}/devices/car.yaml:3: interval: expected a length of time, found the text "
            "'often'",
            "such as 10s",
        ),
        (
            f"{folder}/exchange.credentials: others can read this file (mode 0644)",
            f"run: chmod 600 {folder}/exchange.credentials",
        ),
    ):
        assert any(
            line.startswith(beginning) and line.endswith(ending)
            for line in done.stdout.splitlines()
        ), (beginning, done.stdout)
    assert done.stdout.splitlines()[-1] == f"13 mistakes in {folder}"
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["gateway.yaml", "devices/pv.yaml", "exchange.credentials"])
@pytest.mark.parametrize("text", ["~", "---", "null\n", "", "# only a comment"])
def test_a_file_with_nothing_in_it_is_never_passed_over(run, home, name, text):
    home.write(name, text)
    code, out, _ = run("check")
    assert code == 1
    assert f"{home.folder / name}:1: " in out


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("exchange.credentials", '"a\\0b"', "credentials: 'a\\x00b' holds a control character"),
        ("site: ", 'site: "home\\n" #', "site: 'home\\n' ends with a line break"),
        (
            "dialect:",
            "url: https://exchange.example:99999\n  dialect:",
            "exchange.url: 99999 is not a port",
        ),
        (
            "dialect:",
            "url: http://127.evil.example\n  dialect:",
            "exchange.url: plain http would send the password in clear",
        ),
        (
            "dialect:",
            "url: http://127.1:80/\n  dialect:",
            "exchange.url: plain http would send the password in clear",
        ),
        *(
            ("dialect:", f"url: {url}\n  dialect:", f"exchange.url: '{url}' is not the URL")
            for url in (
                "http://[127.0.0.1]",
                "https://[1:2]",
                "https://a]b.example",
                "https://evil℀.example",
            )
        ),
        (
            "dialect:",
            "url: https://me:open-sesame@exchange.example\n  dialect:",
            "exchange.url: 'https://…@exchange.example' is not the URL",
        ),
        (
            "market:",
            f"buffer: {{max_size: {'9' * 400}GB}}\nmarket:",
            "buffer.max_size: expected a size",
        ),
    ],
)
def test_what_no_path_name_or_size_can_be_is_a_mistake_like_others(run, home, right, wrong, says):
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")
    assert right in text
    home.write("gateway.yaml", text.replace(right, wrong, 1))
    code, out, _ = run("check")
    assert code == 1
    assert says in out


def test_the_scheme_of_the_exchange_may_be_in_capitals(run, home):
    text = (home.folder / "gateway.yaml").read_text(encoding="utf-8")
    url = "url: HTTPS://Exchange.Example/x/\n  dialect:"
    home.write("gateway.yaml", text.replace("dialect:", url, 1))
    code, out, _ = run("check")
    assert code == 0, out
    assert HttpUrl.parse("HTTPS://Exchange.Example/x/") == "https://Exchange.Example/x"
    with pytest.raises(ValueError, match="in clear"):
        HttpUrl.parse("HTTP://exchange.example")


def test_a_folder_that_is_not_there_is_one_mistake_that_says_what_to_do(run, tmp_path):
    code, out, _ = run("check", "--config", tmp_path / "nowhere")
    assert code == 1
    assert "give --config the folder that holds it" in out


def test_what_cannot_be_a_fuse_is_a_mistake_with_which_the_daemon_starts(run, home):
    home.write("devices/pv.yaml", PV_METER + "max_power: 17.25\n")
    code, out, _ = run("check")
    assert code == 1
    assert "pv.yaml:5: max_power: 17.25 W cannot be a main fuse" in out
    assert "the daemon starts with it, and warns" in out
    assert f"1 mistake in {home.folder}" in out
    assert run("read", "nobody")[0] == 1, "there is no such meter"
    assert "there is no such port" in run("read", "pv")[2]


def test_a_foreign_file_in_the_buffer_s_place_is_a_problem(run, home):
    home.write("buffer.sqlite", "site: home-12\n")
    code, out, _ = run("check")
    assert code == 1
    assert f"problem: {home.folder}/buffer.sqlite: is not a buffer and never was" in out
    assert "The daemon will not start" in out


@pytest.mark.parametrize("name", ["gateway", "device", "profile-modbus", "profile-p1"])
def test_a_schema_is_printed_for_each_kind_of_file(run, name):
    code, out, _ = run("check", "--schema", name)
    assert code == 0
    assert name in schema_names()
    assert json.loads(out) == schema_of(name)


@pytest.mark.parametrize("name", ["gateway", "device"])
def test_the_schemas_beside_the_examples_are_current(name):
    """After a change: .venv/bin/meter-gateway check --schema NAME >
    docs/examples/home/schema/NAME.json
    """
    written = json.loads((EXAMPLES / "schema" / f"{name}.json").read_text(encoding="utf-8"))
    assert written == schema_of(name)


def test_every_example_names_the_schema_it_is_checked_with():
    files = [EXAMPLES / "gateway.yaml", *sorted((EXAMPLES / "devices").glob("*.yaml"))]
    assert len(files) == 4
    for file in files:
        first = file.read_text(encoding="utf-8").splitlines()[0]
        name = "gateway" if file.stem == "gateway" else "device"
        assert first.startswith("# yaml-language-server: $schema=")
        assert (
            file.parent / first.partition("=")[2]
        ).resolve() == EXAMPLES / "schema" / f"{name}.json"


def test_the_example_is_right_once_it_has_a_login(tmp_path):
    folder = shutil.copytree(EXAMPLES, tmp_path / "etc")
    login = folder / "exchange.credentials"
    login.touch(mode=0o600)
    login.write_text("username: somebody\npassword: secret\n")
    settings = kinds.load(folder)
    assert [device.name for device in settings.devices] == ["grid", "heat-pump", "pv"]
    assert {asset.name for asset in settings.assets} == {"House load", "PV", "Heat pump"}


def test_a_shared_line_is_told_what_it_has_to_carry_and_one_that_cannot_keep_up_is_a_problem(
    run, home
):
    for number in range(2, 12):
        text = f"profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: {number}\n"
        home.write(f"devices/{'pv' if number == 2 else f'sub{number}'}.yaml", text)
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert re.search(
        r"serial:/dev/ttyUSB1\?baud=9600 \(pv, sub10, .*, sub9\) needs [\d,]+ of 10,000 ms per "
        r"cycle",
        out,
    )
    home.write(
        "devices/sub12.yaml",
        "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=2400\naddress: 12\ninterval: 1s\n",
    )
    code, out, _ = run("check")
    assert code == 0, "a slow meter among quick ones, read every second"
    for number in range(3, 12):
        text = (
            "profile: eastron/sdm120\nline: serial:/dev/ttyUSB1?baud=9600\naddress: "
            f"{number}\ninterval: 1s\n"
        )
        home.write(f"devices/sub{number}.yaml", text)
    code, out, _ = run("check")
    assert code == 1
    assert re.search(
        r"problem: .* needs [\d,]+ of 1,000 ms per cycle: it cannot keep up — read its meters "
        r"less often, raise",
        out,
    )


def test_a_buffer_that_was_never_ours_is_a_problem(run, home):
    config = (home.folder / "gateway.yaml").read_text()
    home.write("gateway.yaml", re.sub(r"path: \S+?(?=[,}])", "path: notes.txt", config))
    home.write("notes.txt", "of somebody else\n")
    code, out, _ = run("check")
    assert code == 1
    assert re.search(r"problem: .*notes\.txt: is not a buffer .* will not start", out)
