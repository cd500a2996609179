"""What of this machine decides whether a gateway runs well on it, with what to do."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway import __version__
from gateway.cli.trial import Tried
from gateway.cli.update_channel import UNATTENDED, channel_of

LEAST_MEMORY_BYTES = 60_000_000
"""The daemon takes 40 MB; a command beside it as much again for a moment."""
HOTTEST_C = 80.0
"""Where a Pi begins to slow itself down (Raspberry Pi documentation, "Frequency management and
thermal control").
"""


def machine(root: Path = Path("/")) -> Iterator[Tried]:
    """`root` is where its files are."""
    yield Tried("ok", "meter-gateway", f"{__version__}, Python {platform.python_version()}")
    yield Tried("ok", "machine", _named(root))
    yield from _package()
    yield _updates(root)
    yield _memory(root)
    yield from _temperature(root)
    yield from _voltage(root)
    yield from _read_only(root)


def _named(root: Path) -> str:
    model = _text(root / "proc/device-tree/model").strip("\0 \n")
    release = dict(
        line.split("=", 1) for line in _text(root / "etc/os-release").splitlines() if "=" in line
    )
    system = release.get("PRETTY_NAME", "").strip('"')
    kernel = f"Linux {os.uname().release} {platform.machine()}"
    return ", ".join(filter(None, [model, system, kernel, f"{sys.maxsize.bit_length() + 1} bit"]))


def _package() -> Iterator[Tried]:
    """Where dpkg has not finished with it, as after a power cut in an update (dpkg-query(1))."""
    dpkg_query = shutil.which("dpkg-query")
    if dpkg_query is None:
        return
    command = [dpkg_query, "--show", "--showformat=${Status}", "meter-gateway"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    status = done.stdout.strip()
    if done.returncode == 0 and status.split()[-1:] not in (["installed"], ["config-files"]):
        hint = "dpkg --configure -a, then install the package again (apt install ./….deb)"
        yield Tried("✗", "package", f"its installation was interrupted ({status}) — {hint}")


def _updates(root: Path) -> Tried:
    try:
        channel = channel_of(root)
    except OSError as error:
        return Tried("–", "updates", f"{error.filename}: {error.strerror}")
    if channel is None:
        return Tried("–", "updates", "by hand (meter-gateway updates)")
    how = "by themselves" if (root / UNATTENDED).exists() else "by apt install meter-gateway"
    return Tried("ok", "updates", f"channel {channel.name} of {channel.repository}, {how}")


def _memory(root: Path) -> Tried:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[0] if rest.split() else ""
        if name == "MemAvailable" and number.isdigit():
            free = int(number) * 1024
            if free < LEAST_MEMORY_BYTES:
                hint = "stop what else runs here: ps -eo rss,comm --sort=-rss"
                return Tried("✗", "memory", f"only {free / 1e6:.0f} MB are free — {hint}")
            return Tried("ok", "memory", f"{free / 1e6:,.0f} MB are free")
    return Tried("–", "memory", "this machine does not say")


def _temperature(root: Path) -> Iterator[Tried]:
    text = _text(root / "sys/class/thermal/thermal_zone0/temp").strip()
    if not text.lstrip("-").isdigit():
        return
    celsius = int(text) / 1000
    if celsius >= HOTTEST_C:
        hint = "it slows itself down: let air to it, or take it out of the sun"
        yield Tried("✗", "temperature", f"{celsius:.0f} °C — {hint}")
    else:
        yield Tried("ok", "temperature", f"{celsius:.0f} °C")


def _voltage(root: Path) -> Iterator[Tried]:
    """The kernel's driver of a Pi's supply says whether it was too low since the start."""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _text(folder / "name").strip() == "rpi_volt":
            if _text(folder / "in0_lcrit_alarm").strip() == "1":
                hint = (
                    "cards are damaged by that: take the Pi's own power supply, and a short cable"
                )
                yield Tried("✗", "supply", f"its voltage was too low since the start — {hint}")
            else:
                yield Tried("ok", "supply", "its voltage was never too low since the start")


def _read_only(root: Path) -> Iterator[Tried]:
    for line in _text(root / "proc/mounts").splitlines():
        words = line.split()
        if len(words) > 3 and words[1] == "/" and words[0] != "rootfs":
            if "ro" in words[3].split(","):
                hint = "the kernel does that where the card fails: see dmesg, and change the card"
                yield Tried("✗", "root file system", f"is read-only — {hint}")
            return


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
