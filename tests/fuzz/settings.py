"""What people write: configuration folders, profiles, device files, credentials, lines, formulas,
lengths of time.
"""

import functools
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

from drivers.line_url import LineUrl, SerialSettings
from drivers.modbus.codec import Decoder
from drivers.modbus.identify import matches
from drivers.modbus.plan import plan
from drivers.modbus.plan import split as narrowed
from drivers.modbus.settings import Settings as ModbusSettings
from drivers.profile import ProfileError, decode_profile, load_profile, shipped_folder
from drivers.strict_yaml import Document, Seconds, decode, parse
from gateway.delivery.kinds import exchange, load
from gateway.delivery.kinds.exchange import DialectName, HttpUrl
from gateway.energy.assets import Formula
from gateway.site.credentials import ConfigError, read_credentials, read_device_credentials
from gateway.site.devices import DeviceFile
from gateway.site.settings import GatewayFile, Settings
from gateway.site.values import ByteSize, SlotLength
from tests.fuzz.target import Target, check_message, check_quantities, split

HOME = Path(__file__).parents[2] / "docs" / "examples" / "home"


def check_problems(document: Document) -> None:
    """Each is one line that can be read, at a line that is there."""
    for problem in document.problems[:50]:
        check_message(str(problem))
        assert problem.line >= 0


def check_finite(settings: object) -> None:
    """No number of a settings dataclass is infinite or none at all, and no text holds what a
    terminal or a path stumbles over.
    """
    for name in getattr(settings, "__dataclass_fields__", ()):
        value = getattr(settings, name)
        if isinstance(value, float):
            assert math.isfinite(value), f"{name} is {value}"
        elif isinstance(value, str):
            assert "\0" not in value, f"{name} is {value!r}"
            assert "\x1b" not in value, f"{name} is {value!r}"
        else:
            check_finite(value)


# YAML


def yaml(data: bytes) -> None:
    """A device file or `gateway.yaml`, decoded without its folder."""
    options, text = split(data)
    document = parse(text, "fuzz.yaml")
    value = decode(GatewayFile if options & 1 else DeviceFile, document)  # type: ignore[arg-type, var-annotated]
    check_problems(document)
    assert value is not None or document.problems
    if not document.problems:
        check_finite(value)
    if isinstance(value, GatewayFile) and value.exchange is not None:
        check_finite(decode(exchange.Settings, document, ("exchange",), value.exchange))
        check_problems(document)


def profile(data: bytes) -> None:
    try:
        found = decode_profile("fuzz/meter", parse(data, "fuzz.yaml"))
    except ProfileError as error:
        assert error.problems
        for problem in error.problems[:50]:
            check_message(str(problem))
        return
    check_finite(found)
    assert found.quantities
    found.turn_s(0.001)
    if isinstance(found.settings, ModbusSettings):
        for block in plan(found.settings, 0.001):
            assert block.address + block.count <= 0x10000
            parts = [block]
            while parts:
                parts += (narrower := narrowed(parts.pop()))
                assert all(part.count > 0 for part in narrower)
            check_quantities(Decoder(block).decode(b"\x7f" * (2 * block.count)), signed_energy=True)
        for identity in found.settings.identify:
            matches(identity, b"\x7f" * (2 * identity.count))


def yaml_seeds() -> Iterable[bytes]:
    yield b"\1" + (HOME / "gateway.yaml").read_bytes()
    for path in sorted((HOME / "devices").glob("*.yaml")):
        yield b"\0" + path.read_bytes()
    yield b"\1" + FULL_GATEWAY
    yield (
        b"\0profile: acme/em1\nline: tcp:10.0.0.2:502?connect=cycle\naddress: 2\ninterval: "
        b"5s\nmax_power: 17000\ntimeout: 2\nkey: a\n"
    )


def profile_seeds() -> Iterable[bytes]:
    yield SMALL_PROFILE
    for name in ("p1/auto", "sml/auto", "iec62056/mode_d", "sunspec/auto", "eastron/sdm120"):
        path = shipped_folder() / f"{name}.yaml"
        if path.is_file():
            yield path.read_bytes()[:4000]


FULL_GATEWAY = b"""\
site: {name: home-12, timezone: Europe/Berlin}
market: {slot: 15min, max_gap: 2h}
exchange:
  dialect: sdk
  url: https://exchange.example
  canary_network: 8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10
  credentials: exchange.credentials
  forecast: last_slot
  margin: 1s
  timeout: 10
assets:
  - {name: Load, uuid: 26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1, kind: load,
      energy: grid.import - grid.export}
buffer: {path: /tmp/b.sqlite, flush: 60s, keep_samples: 30d, max_size: 2GB}
status: {host: 127.0.0.1, port: 0}
mqtt: {host: broker, port: 8883, tls: true, topic: meters, samples: 1min}
clock: {trust: assured}
"""
SMALL_PROFILE = b"""\
maker: Acme
model: EM1
manual: the manual
protocol: modbus
serial: {baud: 9600, parity: even}
max_power_w: 17000
energy:
  energy_import_wh: {resolution_wh: 10, modulus_wh: 1000000}
modbus:
  type: uint32
  power_sign: import_positive
  serial_number: {address: 0x10, words: 4, type: string}
  identify: [{address: 0, between: [100, 300]}]
  registers:
    energy_import_wh: {address: 2, unit: kWh, scale: 0.01}
    power_w: {address: 4, type: int32, word_order: little, invalid: 0x7FFFFFFF, unit: W}
    voltage_l1_v: {address: 0x20, type: float32, unit: V}
  sums:
    power_import_w: {plus: [power_w]}
"""
YAML_WORDS = (
    b"\n  - ", b": ", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"<<: ", b"!!int ", b"!!float ",
    b"!!bool ", b"!!binary ", b"!!set ", b"? ",
    b"|\n ", b'"\\0"', b'"\\e[2J"', b'"\\uD800"', b'"\\N"', b".nan", b".inf", b"1e400",
    b"0x" + b"f" * 300, b"12:30:45", b"2024-01-01",
    b"~", b"%YAML 1.1\n---\n", b"profile: ", b"line: ", b"interval: ", b"serial:/dev/",
    b"rtu+tcp:", b"usb:0403:6001", b"15min", b"2GB",
    b"9" * 400 + b"GB", b"energy: ", b"grid.import", b"power_w: ", b"address: ", b"scale: ",
    b"invalid: ", b"protocol: sunspec",
    b"protocol: p1",
)  # fmt: skip


# A whole folder

_PARTS = (
    "gateway.yaml",
    "devices/grid.yaml",
    "devices/pv.yaml",
    "exchange.credentials",
    "grid.key",
    "hardware_profiles/acme/em1.yaml",
)
_ORDINARY = (
    FULL_GATEWAY,
    b"profile: acme/em1\nline: serial:/dev/ttyUSB0?baud=9600\naddress: 1\n",
    b"profile: acme/em1\nline: serial:/dev/ttyUSB0?baud=9600\naddress: 2\n",
    b"username: 'me'\npassword: 'hunter2-secret'\n",
    b"encryption_key: '000102030405060708090a0b0c0d0e0f'\n",
    SMALL_PROFILE.replace(
        b"energy:\n", b"energy:\n  energy_export_wh: {resolution_wh: 10, modulus_wh: 1000000}\n"
    ).replace(
        b"registers:\n", b"registers:\n    energy_export_wh: {address: 8, unit: kWh, scale: 0.01}\n"
    ),
)


@functools.cache
def _folder() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """A folder that goes with the process."""
    kept = tempfile.TemporaryDirectory(prefix="meter-gateway-fuzz-")
    folder = Path(kept.name)
    for name in _PARTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch(mode=0o600)
    return kept, folder


def remove_folder() -> None:
    """Tidy up."""
    if _folder.cache_info().currsize:
        _folder()[0].cleanup()
        _folder.cache_clear()


def ordinary_folder() -> Path:
    """One that is right."""
    where = _folder()[1]
    for name, ordinary in zip(_PARTS, _ORDINARY, strict=True):
        (where / name).write_bytes(ordinary)
    return where


def folder(data: bytes) -> None:
    """Files with a zero byte between them; those that are not there are ordinary ones."""
    where = ordinary_folder()
    for name, part in zip(_PARTS, data.split(b"\0", len(_PARTS) - 1), strict=False):
        if part:
            (where / name).write_bytes(part)
    try:
        settings = load(where)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems[:50]:
            check_message(str(problem))
            assert "hunter2" not in str(problem) or b"hunter2" in data
        return
    assert isinstance(settings, Settings)
    for each in (settings, *settings.destinations.values()):
        check_finite(each)
    assert settings.devices


def folder_seeds() -> Iterable[bytes]:
    yield b""
    for number, ordinary in enumerate(_ORDINARY):
        yield b"\0" * number + ordinary
    yield (HOME / "gateway.yaml").read_bytes()
    yield FULL_GATEWAY.replace(b"credentials: exchange.credentials", b'credentials: "a\\0b"')
    yield b"\0profile: p1/auto\nline: usb:0403:6001\nkey: grid.key\n"
    yield (
        b"\0profile: acme/em1\nline: tcp:10.0.0.2\ninvert: true\0profile: acme/em1\nline: "
        b"rtu+tcp:10.0.0.2:502\n"
    )
    yield (
        b"site: x\nassets: [{energy: grid.import + roof.export}]\nmqtt: {host: a, ca_file: "
        b"ca.pem, credentials: mqtt.credentials}\n"
    )


_SAID_OF_SECRETS = (
    "is not a login",
    "is not a meter's credentials",
    "a login cannot be read",
    "a meter's credentials cannot be read",
)


def credentials(data: bytes) -> None:
    """A login and a key file: what is wrong with them is said without a word of what they hold."""
    where = _folder()[1]
    (where / "exchange.credentials").write_bytes(data)
    meter = load_profile("p1/luxembourg")
    for found, problems in (
        read_credentials(where, "exchange.credentials"),
        read_device_credentials(where, "exchange.credentials", meter),
    ):
        assert (not found) == bool(problems)
        assert data.decode("latin-1") not in repr(found) or len(data) < 40
        for problem in problems[:50]:
            check_message(str(problem))
            assert problem.message.partition(":")[0] in _SAID_OF_SECRETS, problem.message


def credential_seeds() -> Iterable[bytes]:
    yield _ORDINARY[3]
    yield (
        _ORDINARY[4]
        + (
            b"authentication_key: '000102030405060708090A0B0C0D0E0F'\nsystem_title: "
            b"'5341470102030405'\n"
        )
    )


# Words


def words(data: bytes) -> None:
    """Leaf types: a line, a formula, a length of time, a slot, a size, a URL, a dialect. What is
    right can be written and read again.
    """
    options, text = split(data)
    kinds = (LineUrl, Formula, Seconds, SlotLength, ByteSize, HttpUrl, DialectName)
    raw: object = text.decode("utf-8", "replace")
    if options & 0x40:
        raw = [None, [raw], True, 1e300, -1, 10**400, {}, float("nan")][len(text) % 8]
    kind = kinds[(options & 0x3F) % len(kinds)]
    try:
        found = kind.parse(raw)
    except ValueError as error:
        message, _, hint = str(error).partition(" — ")
        document = Document("fuzz.yaml")
        document.report(("key",), message, hint)
        check_problems(document)
        return
    if isinstance(found, LineUrl | Formula):
        assert type(found).parse(str(found)) == found
        if isinstance(found, LineUrl):
            assert found.key
            assert 0 < found.serial_settings(SerialSettings()).char_s < 1
    elif isinstance(found, Seconds | int):
        assert 0 <= found < 1e18


def word_seeds() -> Iterable[bytes]:
    for number, texts in enumerate(
        (
            LINES,
            ("grid.import - grid.export + pv.export", "-a.import"),
            ("15min", "500ms", "2.5 h"),
            ("15min", "5"),
        )
    ):
        yield from (bytes([number]) + text.encode() for text in texts)
    yield from (
        b"\x042.5 GB",
        b"\x05https://exchange.example:8443/base/",
        b"\x05http://[::1]:80",
        b"\x06sdk",
        b"\x40x",
        b"\x44xxxxx",
    )


LINES = (
    "serial:/dev/serial/by-id/usb-FTDI_FT232R-if00-port0?baud=9600&parity=none",
    "usb:0403:6001:A50285BI?stop_bits=2",
    "tcp:192.168.1.20:502", "tcp:[fd00::20]", "rtu+tcp:adapter.local:4196?connect=cycle",
    "rtu+udp:10.0.0.1:4196",
    "tls:m:802?ca=/a.pem&cert=/b.pem&key=/c.pem", "replay:/tmp/grid.jsonl?pace=fast",
    "/dev/ttyUSB0", "192.168.1.1", "serial:ttyUSB0",
)  # fmt: skip
WORD_WORDS = (
    b"serial:/",
    b"usb:",
    b"tcp:",
    b"tls:",
    b"rtu+tcp:",
    b"rtu+udp:",
    b"replay:",
    b"?baud=",
    b"&parity=",
    b"connect=cycle",
    b".import",
    b"ms",
    b"9" * 400,
)


TARGETS = (
    Target("yaml", "gateway.yaml and device files", yaml, yaml_seeds, words=YAML_WORDS),
    Target(
        "profile",
        "profiles: YAML to a plan of requests",
        profile,
        profile_seeds,
        words=YAML_WORDS,
        longest=4000,
    ),
    Target(
        "folder",
        "whole configuration folders",
        folder,
        folder_seeds,
        words=YAML_WORDS,
        longest=2500,
    ),
    Target(
        "credentials",
        "logins and key files",
        credentials,
        credential_seeds,
        words=YAML_WORDS,
        longest=400,
    ),
    Target(
        "words",
        "lines, formulas, lengths of time, sizes, URLs",
        words,
        word_seeds,
        words=WORD_WORDS,
        longest=500,
    ),
)
