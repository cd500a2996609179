"""Streams of anything: a meter that counts right, and what it is made to show."""

import struct
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from drivers.sample import Sample
from tests.gateway.energy.samples import BEGIN_S


@dataclass
class Truth:
    """A meter that counts right, and what it is made to show."""

    resolution_wh: int
    float32: bool
    modulus_wh: int = 100_000_000
    t_ms: int = BEGIN_S * 1000
    serial: str | None = "A"
    mj: dict[str, int] = None  # type: ignore[assignment]
    wrong_ms: int = 0
    boot: int = 0
    silent: bool = False
    paused: dict[str, float] | None = None

    def shown_wh(self, direction: str) -> float:
        wh = (
            self.mj[direction]
            // (3_600_000 * self.resolution_wh)
            * self.resolution_wh
            % self.modulus_wh
        )
        return (
            struct.unpack("<f", struct.pack("<f", wh / 1000))[0] * 1000
            if self.float32
            else float(wh)
        )


STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.just(10_000),
            st.just(10_000),
            st.integers(1, 60_000),
            st.integers(60_000, 7_200_000),
            st.integers(7_200_001, 30_000_000),
        ),
        st.integers(0, 15_000),
        st.integers(0, 15_000),
        st.sampled_from(
            [
                "",
                "",
                "",
                "",
                "",
                "zero",
                "flip",
                "huge",
                "no import",
                "no export",
                "no power",
                "nothing",
                "late",
                "back",
                "far back",
                "forward",
                "silence",
                "pause",
                "far forward",
                "reboot",
                "reset",
                "swap",
                "stranger",
                "anonymous",
            ]
        ),
    ),
    max_size=60,
)

METERS = st.builds(
    lambda resolution_wh, float32, kwh: Truth(
        resolution_wh, float32, mj={"import": kwh * 3_600_000_000, "export": kwh * 1_800_000_000}
    ),
    st.sampled_from([1, 10, 100]),
    st.booleans(),
    st.sampled_from([0, 12, 5000, 16_000, 66_000, 99_990, 99_999]),
)


def stream(truth: Truth, steps: list[tuple[int, int, int, str]]) -> list[Sample]:
    truth = replace(truth, mj=dict(truth.mj))
    samples = []
    for elapsed_ms, import_w, export_w, fault in [(0, 0, 0, ""), *steps]:
        truth.t_ms += elapsed_ms
        truth.mj["import"] += import_w * elapsed_ms
        truth.mj["export"] += export_w * elapsed_ms
        if fault == "reset":
            truth.mj = {"import": 0, "export": 0}
        truth.silent ^= fault == "silence"
        if fault == "pause":
            truth.paused = (
                None
                if truth.paused
                else {each: truth.shown_wh(each) for each in ("import", "export")}
            )
        if fault == "swap":
            truth.serial = chr(ord(truth.serial or "A") + 1)
        values = {
            "energy_import_wh": truth.shown_wh("import"),
            "energy_export_wh": truth.shown_wh("export"),
            "power_import_w": float(import_w),
            "power_export_w": float(export_w),
        }
        for direction in ("import", "export"):
            shown_wh = truth.paused[direction] if truth.paused else values[f"energy_{direction}_wh"]
            bogus_wh = {"zero": 0.0, "flip": float(int(shown_wh) ^ 0x4000), "huge": 4_294_967.0}
            values[f"energy_{direction}_wh"] = bogus_wh.get(fault, shown_wh)
        left_out = {
            "no import": ["energy_import_wh"],
            "no export": ["energy_export_wh"],
            "no power": ["power_import_w", "power_export_w"],
        }
        gone = set(values) if fault == "nothing" else set(left_out.get(fault, []))
        for name in gone | ({"energy_import_wh", "energy_export_wh"} if truth.silent else set()):
            del values[name]
        serial = {"stranger": "?", "anonymous": None}.get(fault, truth.serial)
        truth.wrong_ms += {
            "back": -400_000,
            "far back": -5_000_000,
            "forward": 400_000,
            "far forward": 90_000_000,
        }.get(fault, 0)
        truth.boot += fault == "reboot"
        at_ms = truth.t_ms - (15_000 if fault == "late" else 0)
        samples.append(
            Sample(
                "grid",
                serial,
                f"boot-{truth.boot}",
                at_ms - truth.boot * 5_000,
                at_ms + truth.wrong_ms,
                values,
            )
        )
    return samples
