"""`meter-gateway profiles`: the meter models that are known."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli import profile_recording

if TYPE_CHECKING:
    from drivers.modbus.settings import Identity
    from drivers.modbus.settings import Settings as ModbusSettings
    from drivers.profile import Profile

SUMMARY = "list the hardware profiles (meter models), show one, begin one, record one"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Lists the meter models that a device file can name, shipped ones and those of the site "
        "(hardware_profiles/ of the configuration "
        "folder). With `show ID`: its registers, limits, notes and the manual it was typed from. "
        "`new ID` writes a profile to fill in. `record ID` makes the recording by which the tests "
        "prove it: of a meter, or of values that you state. "
        "Exit code 1 where a profile cannot be used; the others are listed all the same."
    )
    parser.epilog = (
        "examples:\n  meter-gateway profiles\n  meter-gateway profiles show eastron/sdm120\n  "
        "meter-gateway profiles --json\n"
        "  meter-gateway profiles new acme/em1 --from eastron/sdm120\n"
        "  meter-gateway profiles record acme/em1 > values.yaml    (then fill it in)\n"
        "  meter-gateway profiles record acme/em1 --values values.yaml\n"
        "  meter-gateway profiles record acme/em1 --line serial:/dev/ttyUSB0 --address 3"
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=["list", "show", "new", "record"],
        default="list",
        help="list (default), show, new or record",
    )
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="the profile, such as eastron/sdm120; not for list"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--markdown", action="store_true", help="for list: as a page; docs/meters.md is made so"
    )
    parser.add_argument(
        "--from", dest="other", metavar="ID", help="for new: begin with a copy of this profile"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="for new: where (default: hardware_profiles/ID.yaml of --config); for record: where "
        "(default: the folder tests/recordings, or here where there is none)",
    )
    profile_recording.add_arguments(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Returns 1 where a profile cannot be used; the others are listed all the same."""
    from drivers.profile import load_profile
    from gateway.cli.terminal import json_text
    from gateway.site.config import profile_folders

    folders = profile_folders(args.config)
    if args.action == "list":
        if args.id:
            args.usage_error(f"list takes no ID; write: profiles show {args.id}")
        return _list(folders, args.json, args.markdown)
    if not args.id:
        args.usage_error(f"{args.action} needs the ID of a profile, such as eastron/sdm120")
    if args.action == "new":
        return _new(
            args.id,
            args.other,
            args.output or args.config / "hardware_profiles" / f"{args.id}.yaml",
            folders,
        )
    profile = load_profile(args.id, *folders)
    if args.action == "record":
        return profile_recording.record(args, profile)
    if args.json:
        print(json_text(_details(profile), indent=2))
    else:
        _show(profile)
    return 0


def _new(profile_id: str, other_id: str | None, path: Path, folders: tuple[Path, ...]) -> int:
    from drivers.profile import load_profile, shipped_folder
    from gateway.cli.terminal import Refused
    from gateway.site.new_profile import PROFILE_ID, began_as, skeleton

    if not PROFILE_ID.fullmatch(profile_id):
        raise Refused(
            f"{profile_id!r} is not maker/model — small letters, digits and _, such as acme/em1"
        )
    protocol = load_profile(other_id, *folders).protocol if other_id else "modbus"
    beside = Path("schema", f"{protocol}.json")
    is_beside = (path.absolute().parent.parent / beside).is_file()
    schema = Path("..") / beside if is_beside else shipped_folder() / beside
    if other_id:
        source = next(file for folder in folders if (file := folder / f"{other_id}.yaml").is_file())
        text = began_as(profile_id, str(schema), other_id, source.read_text(encoding="utf-8"))
    else:
        text = skeleton(profile_id, str(schema))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise Refused(
            f"{path}: is there already — remove it, or write to another file with --output"
        ) from None
    except OSError as error:
        raise Refused(
            f"{path}: cannot be written: {error.strerror} — write to another file with --output"
        ) from error
    print(
        f"{path}: fill it in; what is missing is told by: meter-gateway profiles show {profile_id}"
    )
    return 0


def _list(folders: tuple[Path, ...], as_json: bool, as_markdown: bool) -> int:
    from drivers.profile import ProfileError, load_profile, profile_ids
    from gateway.cli.terminal import json_text, print_table

    profiles: list[Profile] = []
    broken: list[ProfileError] = []
    for profile_id in profile_ids(*folders):
        try:
            profiles.append(load_profile(profile_id, *folders))
        except ProfileError as error:
            broken.append(error)
    if as_json:
        print(json_text([_brief(p) for p in profiles], indent=2))
    elif as_markdown:
        from gateway.cli.meters_page import page

        print(page(profiles), end="")
    else:
        columns = ["id", "maker", "model", "protocol", "quantities", "counts in steps of"]
        rows = [
            [p.id, p.maker, p.model, p.protocol, str(len(p.quantities)), _steps(p)]
            for p in profiles
        ]
        spare = ["quantities", "counts in steps of", "maker", "protocol"]
        print_table(columns, rows, right=["quantities"], spare=spare)
    for each in broken:
        print(each, file=sys.stderr)
    return 1 if broken else 0


def _steps(profile: "Profile") -> str:
    """Such as `import 1 Wh, export 1 Wh`."""
    return ", ".join(
        f"{_direction(quantity)} {register.resolution_wh:g} Wh"
        for quantity, register in profile.energy.items()
    )


def _direction(quantity: str) -> str:
    return quantity.removeprefix("energy_").removesuffix("_wh")


def _ordered(profile: "Profile") -> list[str]:
    from drivers.sample import QUANTITIES

    return [quantity for quantity in QUANTITIES if quantity in profile.quantities]


def _brief(profile: "Profile") -> dict[str, Any]:
    return {
        "id": profile.id,
        "maker": profile.maker,
        "model": profile.model,
        "protocol": profile.protocol,
        "quantities": _ordered(profile),
        "resolution_wh": {
            quantity: register.resolution_wh for quantity, register in profile.energy.items()
        },
    }


def _details(profile: "Profile") -> dict[str, Any]:
    import msgspec

    more = {
        name: msgspec.to_builtins(getattr(profile, name))
        for name in ("serial", "energy", "settings")
    }
    limits = {
        "max_power_w": profile.max_power_w,
        "min_interval_s": profile.min_interval_s,
        "sleeps": profile.sleeps,
        "sister": profile.sister,
    }
    return {**_brief(profile), "manual": profile.manual, "notes": profile.notes, **limits, **more}


def _show(profile: "Profile") -> None:
    from drivers.sample import QUANTITIES, unit_of
    from gateway.cli.terminal import console, print_table

    out = console()
    facts = [
        ("profile", profile.id),
        ("meter", f"{profile.maker} {profile.model}"),
        ("manual", profile.manual),
        ("protocol", profile.protocol),
        ("serial port", _serial(profile)),
        ("carries at most", f"{profile.max_power_w:g} W"),
        ("shortest interval", f"{profile.min_interval_s:g} s"),
        *([("sleeps", "without sun: its silence at night is no alarm")] if profile.sleeps else []),
        *((f"{_direction(q)} register", _register(profile, q)) for q in profile.energy),
        *([("sister models", profile.sister)] if profile.sister else []),
        *_protocol_facts(profile),
    ]
    for name, text in facts:
        out.print(f"{name + ':':<20}{text}", markup=False)
    if profile.notes:
        out.print(f"\n{profile.notes}", markup=False)
    if profile.protocol == "modbus":
        print_table(
            ["quantity", "meaning", "address", "function", "type", "words", "× scale", "unit"],
            _registers(profile.settings),
            spare=["words", "function", "× scale", "type", "meaning"],
        )
    else:
        print_table(
            ["quantity", "meaning", "unit"],
            [[q, QUANTITIES[q], unit_of(q)] for q in _ordered(profile)],
            spare=["meaning"],
        )


def _serial(profile: "Profile") -> str:
    s = profile.serial
    return (
        f"{s.baud} baud, {s.data_bits}{s.parity[0].upper()}{s.stop_bits} as it leaves the factory"
    )


def _register(profile: "Profile", quantity: str) -> str:
    register = profile.energy[quantity]
    travels = ", travels as a 32-bit float" if register.float32 else ""
    pace = f"no more often than every {register.refresh_s:g} s"
    moves = f", moves {pace}" if register.refresh_s else ""
    return (
        f"steps of {register.resolution_wh:g} Wh, starts again at "
        f"{register.modulus_wh / 1000:.10g} kWh{travels}{moves}"
    )


def _protocol_facts(profile: "Profile") -> Iterator[tuple[str, str]]:
    if profile.protocol == "modbus":
        settings: ModbusSettings = profile.settings
        yield (
            "requests",
            f"at most {settings.max_registers} registers, {'also' if settings.holes else 'not'} "
            "across unlisted addresses",
        )
        yield (
            "answers within",
            f"{settings.timeout_s:g} s; needs {settings.turnaround_ms:g} ms of silence before a "
            "request",
        )
        if settings.power_sign:
            yield (
                "positive power",
                f"{settings.power_sign.removesuffix('_positive')}, as the meter counts; readings "
                "are import positive",
            )
        yield "serial number", _serial_number(settings)
        yield "told by", "; ".join(map(_identity, settings.identify))
        if settings.part_of:
            yield "part of", f"{settings.part_of}, whose line and address it has"
    elif profile.protocol == "p1":
        yield (
            "telegrams",
            f"every {profile.settings.period_s:g} s, checksum {profile.settings.checksum}",
        )
    elif profile.protocol == "sml" or (
        profile.protocol == "iec62056" and profile.settings.mode == "d"
    ):
        yield (
            "telegrams",
            f"pushed by the meter, every {profile.settings.period_s:g} s at the latest",
        )
    elif profile.protocol == "iec62056":
        yield "readout", "on request: signed on to at that rate, then at the rate the meter offers"


def _serial_number(settings: "ModbusSettings") -> str:
    """Where the meter's own number is, such as `at 0xFC00 (uint32, function 3)`."""
    where = settings.serial_number
    if where is None:
        return "not known: an exchanged meter is told from this one by its registers alone"
    length = f" of {2 * where.words} characters" if where.type == "string" else ""
    return f"at 0x{where.address:04X} ({where.type}{length}, function {where.function})"


def _identity(identity: "Identity") -> str:
    """Such as `0xFC02 holds 32 (function 3)`."""
    if identity.asks_who:
        known = " or ".join(f"0x{each:02X}" for each in identity.values or identity.none_of or ())
        return f"the device's own word is {'not ' if identity.none_of else ''}{known} (function 17)"
    if identity.text is not None:
        holds = f"begins with {identity.text!r}"
    elif identity.values is not None:
        holds = f"holds {' or '.join(map(str, identity.values))}"
    else:
        low, high = identity.between or (0, 0)
        holds = f"is between {low:g} and {high:g}"
    return f"0x{identity.address:04X} {holds} ({identity.type}, function {identity.function})"


def _registers(settings: "ModbusSettings") -> Iterator[list[str]]:
    from drivers.sample import QUANTITIES, unit_of

    for quantity, row in sorted(
        settings.registers.items(),
        key=lambda item: (settings.function_of(item[1]), item[1].address),
    ):
        meaning = QUANTITIES[quantity] + ("" if row.agreed else " (a single source says so)")
        words = f"{settings.word_order_of(row)} first"
        where = f"0x{row.address:04X} ({row.address})"
        if row.high_address is not None:
            where, words = f"{where}, high word 0x{row.high_address:04X}", "apart"
        yield [
            quantity,
            meaning,
            where,
            str(settings.function_of(row)),
            settings.type_of(row),
            words,
            f"{row.scale:g}",
            row.unit,
        ]
    for quantity, each in settings.sums.items():
        made_of = " + ".join(each.plus) + "".join(f" - {part}" for part in each.minus)
        yield [
            quantity,
            f"{QUANTITIES[quantity]}: {made_of}",
            "",
            "",
            "",
            "",
            "",
            unit_of(quantity),
        ]
