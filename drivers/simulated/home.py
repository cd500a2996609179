"""One simulated homehold: what flows in it at any second, and therefore exactly how much energy
each of its meters counts. Pure.

Power is constant within each second of UTC, a whole number of watts that depends on nothing but the
seed and the second. So energy is a sum of whole numbers, and the truth that slots are judged by has
no rounding of its own: it is kept in millijoules (W·ms).

Three meters share the household: `grid` (import and export), `pv` (the panels' production is its
*export*) and `heat_pump` (import).

    grid = heat pump + other loads − PV        at every second
"""

from collections.abc import Mapping
from dataclasses import dataclass

MJ_PER_WH = 3_600_000
DAY_S = 86_400
DEMO_DAY_S = 600
"""A household whose sun goes round in ten minutes: in a demo everything happens while one watches.
"""

METERS = ("grid", "pv", "heat_pump")

_PV_PEAK_W = 5_000
_CHECKPOINT_S = 64
_MASK = (1 << 64) - 1

# What each meter's registers showed when the simulation began, in Wh: real meters have been hanging
# there for years.
_START_WH: Mapping[str, int] = {
    "grid.import.t1": 12_345_678,
    "grid.import.t2": 9_876_543,
    "grid.export.t1": 1_234_567,
    "grid.export.t2": 3_456_789,
    "pv.import": 4_321,
    "pv.export": 15_432_109,
    "heat_pump.import": 8_765_432,
    "heat_pump.export": 0,
}

_HEAT_PUMP, _PV, _IMPORT_T1, _IMPORT_T2, _EXPORT_T1, _EXPORT_T2 = range(6)
_REGISTERS: Mapping[str, tuple[int, ...]] = {
    "grid.import.t1": (_IMPORT_T1,),
    "grid.import.t2": (_IMPORT_T2,),
    "grid.import": (_IMPORT_T1, _IMPORT_T2),
    "grid.export.t1": (_EXPORT_T1,),
    "grid.export.t2": (_EXPORT_T2,),
    "grid.export": (_EXPORT_T1, _EXPORT_T2),
    "pv.import": (),
    "pv.export": (_PV,),
    "heat_pump.import": (_HEAT_PUMP,),
    "heat_pump.export": (),
}


@dataclass(frozen=True, slots=True)
class Flow:
    """What flows during one second, in W; none is negative. `tariff` is 1 (low, at night) or 2."""

    pv_w: int
    heat_pump_w: int
    other_w: int
    tariff: int

    @property
    def grid_w(self) -> int:
        """What the home draws from the grid; negative when it feeds in."""
        return self.heat_pump_w + self.other_w - self.pv_w

    @property
    def heat_pump_phases_w(self) -> tuple[int, int, int]:
        """The heat pump's power on each phase."""
        third = self.heat_pump_w // 3
        return self.heat_pump_w - 2 * third, third, third

    @property
    def grid_phases_w(self) -> tuple[int, int, int]:
        """Power at the grid connection on each phase: the panels feed L1, the kitchen hangs on
        L2.
        """
        one, two, three = self.heat_pump_phases_w
        light, office = self.other_w // 5, self.other_w // 4
        return one + light - self.pv_w, two + self.other_w - light - office, three + office


class Household:
    """The flows of one home and their exact sums since `origin_s`.

    `origin_s`: the UTC second at which its registers show their start values; nothing is known
    before it. `day_s`: how long its day lasts, in seconds; all cycles shrink with it.
    `sun_offset_s` moves its day: midnight is where second + sun_offset_s is a multiple of `day_s`.

    Asking for the present is O(1) in the time passed since the last question; asking for the past
    costs at most a minute's sum.
    """

    def __init__(
        self, seed: int, origin_s: int, *, day_s: int = DAY_S, sun_offset_s: int = 0
    ) -> None:
        self.seed = seed
        self.origin_s = origin_s
        self.day_s = day_s
        self.sun_offset_s = sun_offset_s
        self._checkpoints: list[tuple[int, ...]] = [
            (0,) * 6
        ]  # sums in W·s at origin_s + k · _CHECKPOINT_S
        self._newest = (origin_s, self._checkpoints[0])

    def flow(self, second: int) -> Flow:
        """What flows from `second` to `second` + 1 (UTC)."""
        phase = (second + self.sun_offset_s) % self.day_s
        night = phase * 24 < 7 * self.day_s or phase * 24 >= 23 * self.day_s
        return Flow(
            self._pv_w(second, phase),
            self._heat_pump_w(second),
            self._other_w(second),
            1 if night else 2,
        )

    def register_mj(self, register: str, t_s: float) -> int:
        """What has passed one register since `origin_s`, in mJ.

        `register` is `<meter>.<import|export>`; the grid also has each by tariff: `grid.import.t1`.
        Raises ValueError for a register there is not, and for a time before `origin_s`.
        """
        if register not in _REGISTERS:
            raise ValueError(
                f"the home has no register {register!r}; it has {', '.join(_REGISTERS)}"
            )
        t_ms = round(t_s * 1000)
        second, ms = divmod(t_ms, 1000)
        sums = self._sums(second)
        rest = _one_second(self.flow(second)) if ms else sums
        return sum(sums[i] * 1000 + (rest[i] * ms if ms else 0) for i in _REGISTERS[register])

    def register_wh(self, register: str, t_s: float) -> int:
        """What the register shows at `t_s`: whole Wh, from a start value as on a meter that has
        been in use for years.
        """
        if register in (
            "grid.import",
            "grid.export",
        ):  # a DSMR meter has no total register: each tariff steps for itself
            return self.register_wh(f"{register}.t1", t_s) + self.register_wh(f"{register}.t2", t_s)
        return self.register_mj(register, t_s) // MJ_PER_WH + _START_WH[register]

    def energy_mj(self, meter: str, direction: str, t0_s: float, t1_s: float) -> int:
        """What passed a meter in one direction between two times, exactly, in mJ (1 Wh = 3,600,000
        mJ).
        """
        register = f"{meter}.{direction}"
        return self.register_mj(register, t1_s) - self.register_mj(register, t0_s)

    def energy_wh(self, meter: str, direction: str, t0_s: float, t1_s: float) -> float:
        """What passed a meter in one direction between two times, in Wh."""
        return self.energy_mj(meter, direction, t0_s, t1_s) / MJ_PER_WH

    def voltages_v(self, second: int) -> tuple[float, float, float]:
        """The voltage of each phase, in steps of 0.1 V."""
        return (self._voltage_v(second, 1), self._voltage_v(second, 2), self._voltage_v(second, 3))

    def gas_l(self, second: int) -> int:
        """The gas register in litres: a little for the stove, renewed every five minutes."""
        return 2_745_056 + (second - self.origin_s) // 300 * 3

    def _sums(self, second: int) -> tuple[int, ...]:
        """The six sums in W·s at the start of `second`."""
        if second < self.origin_s:
            raise ValueError(
                f"the simulated home begins at {self.origin_s} s, {self.origin_s - second} s "
                "after the time asked for"
            )
        at, sums = self._newest
        if second < at:
            k = (second - self.origin_s) // _CHECKPOINT_S
            return self._advance(self.origin_s + k * _CHECKPOINT_S, self._checkpoints[k], second)
        while at < second:
            step = min(second, at + _CHECKPOINT_S - (at - self.origin_s) % _CHECKPOINT_S)
            at, sums = step, self._advance(at, sums, step)
            if (at - self.origin_s) % _CHECKPOINT_S == 0:
                self._checkpoints.append(sums)
        self._newest = (at, sums)
        return sums

    def _advance(self, at: int, sums: tuple[int, ...], second: int) -> tuple[int, ...]:
        for s in range(at, second):
            sums = tuple(map(int.__add__, sums, _one_second(self.flow(s))))
        return sums

    def _pv_w(self, second: int, phase: int) -> int:
        """A bell from sunrise to sunset (6 to 18 h), dimmed by drifting clouds."""
        sunrise, daylight_s = self.day_s // 4, self.day_s // 2
        x = (phase - sunrise) * 10_000 // daylight_s
        if not 0 < x < 10_000:
            return 0
        bell = x * (10_000 - x) // 2_500  # 0 … 10,000
        sky = 300 + 700 * self._wave(1, second, self.day_s // 48) // 1000
        return _PV_PEAK_W * bell * sky // 10_000_000

    def _heat_pump_w(self, second: int) -> int:
        """On and off about twenty times a day, longer and stronger in some cycles; its control
        draws a little always.
        """
        period_s = self.day_s // 20
        cycle, into_s = divmod(second, period_s)
        on_permille = 300 + self._noise(2, cycle) % 501
        if into_s * 1000 >= on_permille * period_s:
            return 12
        return 1500 + self._noise(3, cycle) % 1501 + self._noise(4, second) % 121

    def _other_w(self, second: int) -> int:
        """Standby, slow waves, a refrigerator, and now and then a kettle."""
        day_s = self.day_s
        waves = 150 + 250 * self._wave(5, second, day_s // 6) // 1000
        fridge = 90 if second % (day_s // 30) * 3 < day_s // 30 else 0
        kettle = self._noise(6, second // (day_s // 48))
        kettle_w = 1200 + kettle // 100 % 1001 if kettle % 100 < 25 else 0
        return waves + fridge + kettle_w + self._noise(7, second) % 31

    def _voltage_v(self, second: int, phase: int) -> float:
        return (2280 + self._wave(10 + phase, second, 120) * 60 // 1000) / 10

    def _wave(self, stream: int, second: int, period_s: int) -> int:
        """0 … 1000, smooth, through a new random value at each period."""
        k, into_s = divmod(second, period_s)
        a, b = self._noise(stream, k) % 1001, self._noise(stream, k + 1) % 1001
        f = into_s * 1000 // period_s
        return a + (b - a) * (f * f * (3000 - 2 * f)) // 1_000_000_000

    def _noise(self, stream: int, index: int) -> int:
        """A random-looking number below 2³² that depends only on the seed, the stream and the index
        (the mixer of SplitMix64).
        """
        x = (
            self.seed * 0x9E3779B97F4A7C15
            + stream * 0xD1B54A32D192ED03
            + index * 0x8CB92BA72F3D8DD7
        ) & _MASK
        x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK
        return x >> 32


def _one_second(flow: Flow) -> tuple[int, int, int, int, int, int]:
    """What one second adds to the six sums, in W·s."""
    imported, exported = max(flow.grid_w, 0), max(-flow.grid_w, 0)
    if flow.tariff == 1:
        return flow.heat_pump_w, flow.pv_w, imported, 0, exported, 0
    return flow.heat_pump_w, flow.pv_w, 0, imported, 0, exported


def meter_values(
    phases_w: tuple[int, ...],
    voltages_v: tuple[float, ...],
    import_wh: int,
    export_wh: int,
    power_factor: float = 0.97,
) -> dict[str, float]:
    """What a meter shows for these phases, by quantity (see `drivers.sample.QUANTITIES`). One phase
    makes a single-phase meter.

    Power is positive for import, currents have no sign, as on the meters' displays.
    """
    power_w = sum(phases_w)
    values: dict[str, float] = {
        "power_w": power_w,
        "power_import_w": max(power_w, 0),
        "power_export_w": max(-power_w, 0),
        "apparent_power_va": sum(abs(p) for p in phases_w) / power_factor,
        "reactive_power_var": power_w * (1 / power_factor**2 - 1) ** 0.5,
        "power_factor": power_factor,
        "frequency_hz": 50.0,
        "voltage_v": sum(voltages_v) / len(voltages_v),
        "energy_import_wh": import_wh,
        "energy_export_wh": export_wh,
        "energy_total_wh": import_wh + export_wh,
    }
    current_a = 0.0
    for n, (phase_w, volt) in enumerate(zip(phases_w, voltages_v, strict=True), 1):
        amp = abs(phase_w) / (volt * power_factor)
        current_a += amp
        values |= {
            f"voltage_l{n}_v": volt,
            f"current_l{n}_a": amp,
            f"power_l{n}_w": phase_w,
            f"power_import_l{n}_w": max(phase_w, 0),
            f"power_export_l{n}_w": max(-phase_w, 0),
            f"apparent_power_l{n}_va": abs(phase_w) / power_factor,
            f"reactive_power_l{n}_var": phase_w * (1 / power_factor**2 - 1) ** 0.5,
            f"power_factor_l{n}": power_factor,
        }
    values["current_a"] = current_a
    if len(phases_w) == 3:
        for pair in ("l1_l2", "l2_l3", "l3_l1"):
            values[f"voltage_{pair}_v"] = values["voltage_v"] * 3**0.5
    return values
