"""The simulated home: its meters, the cables they hang on, and its gateway's configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from uuid import UUID

from drivers.line import LineUrl
from drivers.profile import Profile, load_profile
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.energy.assets import Direction
from tests.simulation.markets import write_operator
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Home, Stream, TrueMeter
from tests.simulation.wires import ModbusMeter, Wire

P1_PROFILE = "dsmr/dsmr4"

ASSETS: Mapping[str, tuple[str, str]] = {
    "Grid": ("kind: smart_meter, delivered_as: load", "grid.import"),
    "PV": ("kind: pv", "pv.export"),
    "Heat pump": ("kind: heat_pump, delivered_as: load", "heat-pump.import"),
    "House": ("kind: load", "grid.import - grid.export + pv.export - heat-pump.import"),
}
"""name: (what it is, energy)"""


@dataclass(frozen=True, slots=True)
class MeterPlan:
    """A meter of the simulated home: its device file and what it counts."""

    profile: str
    line: str
    address: int
    streams: Mapping[Direction, Stream]
    shown_wh: Mapping[Direction, int]
    serial_number: str
    phases: int = 1


METERS: Mapping[str, MeterPlan] = {
    "grid": MeterPlan(
        P1_PROFILE,
        "serial:/dev/serial/by-id/usb-p1",
        1,
        {"import": "grid_import", "export": "grid_export"},
        {"import": 12_345_678, "export": 3_456_789},
        "E0031007000012345",
        3,
    ),
    "pv": MeterPlan(
        "eastron/sdm120",
        "serial:/dev/serial/by-id/usb-rs485?baud=9600",
        2,
        {"import": "nothing", "export": "pv"},
        {"import": 4_321, "export": 15_432_109},
        "19040002",
    ),
    "heat-pump": MeterPlan(
        "eastron/sdm630",
        "tcp:192.0.2.20:502",
        1,
        {"import": "heat_pump", "export": "nothing"},
        {"import": 8_765_432, "export": 0},
        "20110001",
        3,
    ),
}


@cache
def profile_of(meter: str) -> Profile:
    """The hardware profile of one of METERS."""
    return load_profile(METERS[meter].profile)


class SimulatedHome:
    """What flows in the home, the meters that count it, and the wires that lead to them."""

    def __init__(self, seed: int, origin_s: int, now_ms: Callable[[], int], rng: Random) -> None:
        """`now_ms` is true time; `rng` decides which frames the wires damage."""
        self.flows = Home(seed, origin_s)
        self.meters = {name: self._meter(name, plan) for name, plan in METERS.items()}

        keys = {name: LineUrl.parse(plan.line).key for name, plan in METERS.items()}
        self.wires = {key: Wire(name, now_ms, rng) for name, key in keys.items()}
        """By the target of the line's URL."""
        self.wire_of = {name: self.wires[key] for name, key in keys.items()}
        """By the meter's name."""

        for name, plan in METERS.items():
            if plan.profile != P1_PROFILE:
                self.wire_of[name].meters[plan.address] = ModbusMeter(
                    profile_of(name), self.meters[name], plan.phases
                )

    def _meter(self, name: str, plan: MeterPlan) -> TrueMeter:
        return TrueMeter(
            name,
            self.flows,
            dict(plan.streams),
            dict(plan.shown_wh),
            round(profile_of(name).energy["energy_import_wh"].resolution_wh),
            plan.serial_number,
        )


def write_folder(
    folder: Path, scenario: Scenario, assets: Mapping[str, UUID], exchange: StandInExchange
) -> None:
    """Write the configuration folder that an installer would write for this home."""
    (folder / "devices").mkdir(parents=True)
    write_credentials(folder, exchange)
    write_site(folder, scenario, assets, exchange.network)

    for name, plan in METERS.items():
        (folder / "devices" / f"{name}.yaml").write_text(
            f"profile: {plan.profile}\nline: {plan.line}\naddress: {plan.address}\n"
            f"interval: {scenario.interval:g}s\n"
        )


def write_site(folder: Path, scenario: Scenario, assets: Mapping[str, UUID], network: UUID) -> None:
    """Write its gateway.yaml."""
    asset_lines = [
        f"  - {{name: {name}, {'' if scenario.by_name else f'uuid: {uuid}, '}"
        f"{ASSETS[name][0]}, energy: {ASSETS[name][1]}}}"
        for name, uuid in assets.items()
    ]
    delivers = [f"verdicts: {'on' if scenario.verdicts else 'off'}"]
    if scenario.aggregator:
        delivers.append("aggregator: simulated-home")
    market = [f"slot: {scenario.slot:g}s"]
    if scenario.look_back is not None:
        market.append(f"look_back: {scenario.look_back:g}s")
    lines = [
        "site: simulated-home",
        f"market: {{{', '.join(market)}}}",
        f"exchange: {{dialect: {scenario.dialect}, url: 'http://127.0.0.1:9', "
        f"canary_network: {network}, credentials: exchange.credentials, "
        f"{', '.join(delivers)}}}",
        "assets:",
        *asset_lines,
        "buffer: {path: state/buffer.sqlite}",
        "status: {port: 0}",
        f"clock: {{trust: {scenario.trust}}}",
    ]
    if scenario.fleet:
        lines += [
            "destinations:",
            "  community: {kind: fleet_mqtt, host: broker.example, tls: false}",
        ]
    if scenario.grid_operator:
        lines += write_operator(folder, network)
    (folder / "gateway.yaml").write_text("\n".join(lines) + "\n")


def write_credentials(folder: Path, exchange: StandInExchange) -> None:
    """Write the exchange's present login into the credential file."""
    path = folder / "exchange.credentials"
    path.touch(mode=0o600)
    path.write_text(f"username: {exchange.username}\npassword: {exchange.password}\n")
