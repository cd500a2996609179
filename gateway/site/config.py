"""The configuration folder → frozen settings, or every mistake at once with file, line and key.

    <folder>/gateway.yaml            the site, its market, exchange, assets
    <folder>/devices/<name>.yaml     one file per meter; the file's name is the meter's name
    <folder>/hardware_profiles/      (optional) profiles of this site, looked up before the shipped
    <folder>/<name>.key              (optional) mode 0600: `encryption_key:` and more of a meter
    <folder>/exchange.credentials    mode 0600: `username:` and `password:`; or a systemd credential

What the keys mean, and what does not fit together, is said in `settings`.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from drivers.net.masking import SecretsInUse, basic
from drivers.profile import Profile, ProfileError, load_profile, shipped_folder
from drivers.settings_file import is_borrowed, is_closed, read_bounded, settings_files, unquoted
from drivers.settings_schema import json_schema
from drivers.strict_yaml import Document, Problem, decode, nearest, parse
from gateway.energy.assets import Formula
from gateway.outbox.item import EXCHANGE
from gateway.site.credentials import (
    ConfigError,
    proxy_secrets,
    read_credentials,
    read_device_credentials,
    read_token,
)
from gateway.site.devices import DEVICE_NAME, Device, DeviceFile
from gateway.site.page_access import Access, access_of
from gateway.site.settings import (
    GRID_OPERATOR,
    DecodeDestination,
    DecodeOperator,
    DestinationSection,
    DestinationSettings,
    GatewayFile,
    OperatorSection,
    Settings,
    Site,
    Surroundings,
    unknown_meters,
)
from gateway.site.timezone import SiteTimezone, machine_timezone

DEFAULT_FOLDER = Path("/etc/meter-gateway")

_SHORT_FOR = "exchange"
"""The kind of the destination that `exchange:` stands for."""


def schema(
    file: Literal["gateway", "device"], kinds: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """The JSON Schema of `gateway.yaml` or of a device file. `kinds` are the settings of each kind
    of destination.
    """
    if file == "device":
        return json_schema(DeviceFile, "devices/<name>.yaml")

    found = json_schema(GatewayFile, "gateway.yaml")
    if kinds:
        found["$defs"] |= sections_by_kind(kinds)
        keys = found["$defs"]["GatewayFile"]["properties"]
        keys["destinations"]["additionalProperties"] = {"anyOf": [_ref(kind) for kind in kinds]}

        if _SHORT_FOR in kinds:
            found["$defs"]["Exchange"] = _without_kind(found["$defs"][_SHORT_FOR])
            keys["exchange"] = {"anyOf": [_ref("Exchange"), {"type": "null"}], "default": None}
    return found


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _without_kind(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section of a destination whose kind is said by its name."""
    properties = {key: value for key, value in section["properties"].items() if key != "kind"}
    required = [key for key in section["required"] if key != "kind"]
    return {**section, "title": "Exchange", "properties": properties, "required": required}


def sections_by_kind(kinds: Mapping[str, type]) -> dict[str, Any]:
    """The section of each kind of destination, and what their keys refer to."""
    parts: dict[str, Any] = {}
    for kind, settings in kinds.items():
        schema = json_schema(settings, kind)
        section = schema["$defs"].pop(schema["$ref"].rpartition("/")[2])
        section["title"] = kind
        section["properties"] = {"kind": {"const": kind}, **section["properties"]}
        section["required"] = ["kind", *section.get("required", ())]
        parts |= {**schema["$defs"], kind: section}
    return parts


def profile_folders(folder: Path) -> tuple[Path, ...]:
    """Where profiles are looked up, first one first."""
    return (folder / "hardware_profiles", shipped_folder())


def load(
    folder: Path,
    *,
    logins: bool = True,
    decode_destination: DecodeDestination | None = None,
    decode_operator: DecodeOperator | None = None,
) -> Settings:
    """The settings of a configuration folder. Raises ConfigError with every problem of every file.
    Where the daemon can go on with each of them, it raises nothing, and they are in `borne`.

    Without `logins` the credential files are not looked at: commands that only read need none, and
    whoever runs them may not see them. Without `decode_destination` what `exchange:`
    and `destinations:` say is not looked into, and there are no destinations. So it is with
    `grid_operator:` and `decode_operator`.
    """
    files = _Files(folder, logins)
    document = files.read(folder / "gateway.yaml")
    gateway = decode(GatewayFile, document)

    paths = settings_files(folder / "devices")
    devices = [device for path in paths if (device := files.device(path)) is not None]
    names = frozenset(path.stem for path in paths)
    _check_devices_folder(folder, names, document)
    _check_lines(devices, files)

    site = None
    if gateway is not None:
        site = Surroundings(
            folder=folder,
            market=gateway.market,
            assets=gateway.assets,
            devices=devices,
            device_names=names,
        )
        document.report_all((), gateway.check(site))
    else:
        _check_formula_names(document, names)

    destinations: Mapping[str, DestinationSettings] = {}
    if decode_destination is not None:
        destinations = _destinations(document, site, decode_destination)

    operator = None
    if decode_operator is not None and (section := _operator(folder, gateway, site, document)):
        operator = decode_operator(section)

    for login in _logins(document.data) if logins else ():
        document.problems.extend(read_credentials(folder, login)[1])

    access = _page_access(folder, gateway, document) if gateway is not None and logins else None

    problems = files.problems()
    if gateway is None or not all(problem.is_borne for problem in problems):
        raise ConfigError(problems)
    settings = _settings(folder, gateway, devices, destinations)
    return replace(settings, page_access=access, borne=tuple(problems), grid_operator=operator)


def load_device(folder: Path, name: str) -> Device:
    """One meter of the site, whatever else is wrong with the configuration. Raises ConfigError."""
    path = folder / "devices" / f"{name}.yaml"
    if is_closed(path.parent):
        hint = "run this as root (with sudo), or check its owner and mode"
        problem = "cannot be looked into: permission denied"
        raise ConfigError([Problem(str(path.parent), 0, "", problem, hint)])

    names = [found.stem for found in settings_files(path.parent)]
    if name not in names:
        problem = f"there is no meter {name!r}"
        raise ConfigError([Problem(str(path.parent), 0, "", problem, nearest(name, names))])

    files = _Files(folder, logins=True)
    device = files.device(path)
    problems = files.problems()
    if device is None or not all(problem.is_borne for problem in problems):
        raise ConfigError(problems)
    return device


def _settings(
    folder: Path,
    gateway: GatewayFile,
    devices: list[Device],
    destinations: Mapping[str, DestinationSettings],
) -> Settings:
    mqtt = gateway.mqtt
    if mqtt is not None and mqtt.ca_file is not None:
        mqtt = replace(mqtt, ca_file=str(folder / mqtt.ca_file))

    return Settings(
        folder=folder,
        site=gateway.site.name,
        about=gateway.site,
        timezone=_timezone(gateway.site),
        market=gateway.market,
        assets=tuple(gateway.assets),
        devices=tuple(devices),
        buffer=gateway.buffer,
        buffer_path=_buffer_path(folder, gateway),
        status=gateway.status,
        mqtt=mqtt,
        clock=gateway.clock,
        destinations=destinations,
        secrets=_secrets(devices),
    )


def _buffer_path(folder: Path, gateway: GatewayFile) -> Path:
    return (folder / gateway.buffer.path).absolute()


def _page_access(folder: Path, gateway: GatewayFile, document: Document) -> Access | None:
    """Who may read the status page. What is wrong with that is noted in the document."""
    status = gateway.status
    access = access_of(status.host, folder, status.credentials, _buffer_path(folder, gateway))
    if access is None:
        message = f"{status.host} opens the page to the network, and there is no token"
        document.report(("status", "host"), message, "make one with: meter-gateway token")
    if access == "token":
        document.problems.extend(read_token(folder, status.credentials)[1])
    return access


def _secrets(devices: list[Device]) -> SecretsInUse:
    """What is known from the start: meters' keys and logins, and the proxy's login."""
    secrets = SecretsInUse()
    for device in devices:
        entries = device.credentials
        hidden = [text for entry, text in entries.items() if entry != "username"]
        if "username" in entries:
            hidden.append(basic(entries["username"], entries.get("password", "")))
        secrets.use(f"the meter {device.name}", *hidden)

    secrets.use("the proxy", *proxy_secrets(os.environ))
    return secrets


def _timezone(site: Site) -> SiteTimezone:
    if site.timezone is None:
        return machine_timezone()
    return SiteTimezone(site.timezone, "gateway.yaml")


class _Files(msgspec.Struct):
    """The files of a folder that have been read, with all that is wrong with them."""

    folder: Path
    logins: bool
    documents: dict[str, Document] = msgspec.field(default_factory=dict)

    def problems(self) -> list[Problem]:
        found: list[Problem] = []
        for document in self.documents.values():
            told = [each for each in document.problems if each.file == document.file and each.line]
            if told and is_borrowed(Path(document.file), self.folder):
                found += unquoted(told, "a settings file")
                told_of = set(told)
                found += [each for each in document.problems if each not in told_of]
            else:
                found += document.problems
        return sorted(found)

    def read(self, path: Path) -> Document:
        try:
            document = parse(read_bounded(path)[0], str(path))
        except OSError as error:
            document = Document(str(path))
            hint = _remedy(error)
            if path.name == "gateway.yaml" and error.errno in (errno.ENOENT, errno.ENOTDIR):
                above = path.parent.parent
                is_above = path.parent.name == "devices" and (above / path.name).is_file()
                hint = f"give --config the folder that holds it{f', {above}' * is_above}"
            message = f"cannot be read: {error.strerror}"
            document.problems.append(Problem(str(path), 0, "", message, hint))
        self.documents[document.file] = document
        return document

    def device(self, path: Path) -> Device | None:
        """The meter of that file. None where the file has mistakes of its own."""
        document = self.read(path)
        name = path.stem
        if not DEVICE_NAME.fullmatch(name):
            hint = "use letters, digits, - and _ in the file's name, beginning with a letter"
            document.report((), f"{name!r} cannot be a meter's name", hint)

        file = decode(DeviceFile, document)
        profile = self._profile(document)
        if file is None or profile is None:
            return None

        others = [other.stem for other in settings_files(path.parent) if other != path]
        document.report_all((), file.check(profile, others))

        credentials: Mapping[str, str] = {}
        secrets = file.credentials or file.key
        if secrets is not None and profile.credentials and self.logins:
            credentials, problems = read_device_credentials(self.folder, secrets, profile)
            document.problems.extend(problems)

        return Device(
            name=name,
            file=str(path),
            profile=profile,
            line=file.line,
            address=file.address,
            interval_s=file.interval,
            invert=file.invert,
            max_power_w=file.max_power or profile.max_power_w,
            timeout_s=file.timeout,
            credentials=credentials,
            check_against=file.check_against,
            seasonal=file.seasonal,
            number=file.number,
        )

    def _profile(self, document: Document) -> Profile | None:
        """The profile that a device file names, also where the rest of the file has mistakes."""
        profile_id = document.data.get("profile") if isinstance(document.data, dict) else None
        if not isinstance(profile_id, str):
            return None

        folders = profile_folders(self.folder)
        try:
            return load_profile(profile_id, *folders)
        except ProfileError as error:
            if error.problems[0].file != profile_id:
                document.problems.extend(error.problems)
            else:
                problem = error.problems[0]
                document.report(("profile",), problem.message, problem.hint)
            return None


def _check_devices_folder(folder: Path, names: frozenset[str], document: Document) -> None:
    """No device file at all (a grid operator needs none), or files whose names are not read."""
    devices = folder / "devices"
    try:
        there = sorted(devices.iterdir()) if devices.is_dir() else []
        is_folder = folder.is_dir()
    except OSError as error:
        if not document.problems:  # else it has been said of gateway.yaml
            problem = f"cannot be looked into: {error.strerror}"
            document.problems.append(Problem(str(devices), 0, "", problem, _remedy(error)))
        return

    data = document.data if isinstance(document.data, dict) else {}
    has_work = data.get(GRID_OPERATOR) is not None
    if not names and is_folder and not has_work:
        hint = "write one file per meter into this folder"
        document.problems.append(Problem(str(devices), 0, "", "there is no meter", hint))
    for path in there:
        if path.suffix == ".yml" and not path.name.startswith("."):
            document.report((), f"{path} is not read", f"rename it to {path.stem}.yaml")


def _remedy(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "run this as root (with sudo), or check its owner and mode"
    return "check its owner and mode"


def _check_lines(devices: list[Device], files: _Files) -> None:
    for i, device in enumerate(devices):
        files.documents[device.file].report_all((), device.check(devices[:i]))


def _destinations(
    document: Document, site: Surroundings | None, decode_one: DecodeDestination
) -> Mapping[str, DestinationSettings]:
    """The settings of every destination, each read by its kind; and checked by it, unless the rest
    of the file has mistakes of its own (then `site` is None).
    """
    sections = {section.name: section for section in _sections(document)}
    decoded = {name: decode_one(section) for name, section in sections.items()}
    found = {name: settings for name, settings in decoded.items() if settings is not None}
    if site is not None:
        site = replace(site, destinations=found)
        for name, settings in found.items():
            sections[name].report(settings.check(site))
    return found


def _operator(
    folder: Path, gateway: GatewayFile | None, site: Surroundings | None, document: Document
) -> OperatorSection | None:
    """`grid_operator:`, if it is there and a mapping. What is not has been reported."""
    data = document.data.get(GRID_OPERATOR) if isinstance(document.data, dict) else None
    if not isinstance(data, dict):
        return None
    zone = machine_timezone() if gateway is None else _timezone(gateway.site)
    return OperatorSection(
        document=document,
        data=data,
        folder=folder,
        timezone=zone.zone,
        site=site,
    )


def _sections(document: Document) -> Iterator[DestinationSection]:
    """Every destination that is a mapping with a kind. What is not has been reported."""
    data = document.data if isinstance(document.data, dict) else {}
    exchange, others = data.get("exchange"), data.get("destinations")

    if isinstance(exchange, dict):
        yield DestinationSection(
            name=EXCHANGE, kind=_SHORT_FOR, document=document, path=("exchange",), data=exchange
        )

    for name, keys in others.items() if isinstance(others, dict) else ():
        if isinstance(keys, dict) and isinstance(keys.get("kind"), str):
            yield DestinationSection(
                name=name,
                kind=keys["kind"],
                document=document,
                path=("destinations", name),
                data={key: value for key, value in keys.items() if key != "kind"},
            )


def _logins(data: object) -> list[str]:
    """The credential files that `gateway.yaml` names, also where the rest of it has mistakes of its
    own.
    """
    if not isinstance(data, dict):
        return []
    destinations = data.get("destinations")
    sections = [data.get("exchange"), data.get("mqtt"), data.get(GRID_OPERATOR)]
    sections += destinations.values() if isinstance(destinations, dict) else ()

    named = [section.get("credentials") for section in sections if isinstance(section, dict)]
    return [name for name in named if isinstance(name, str)]


def _check_formula_names(document: Document, names: frozenset[str]) -> None:
    """Names in formulas, where the rest of the file has mistakes of its own."""
    assets = document.data.get("assets") if isinstance(document.data, dict) else None
    for i, asset in enumerate(assets if isinstance(assets, list) else []):
        try:
            formula = Formula.parse(asset.get("energy")) if isinstance(asset, dict) else None
        except ValueError:
            continue  # reported where it was decoded
        if formula is not None:
            document.report_all(("assets", i), unknown_meters(formula, names))
