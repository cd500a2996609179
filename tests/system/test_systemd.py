"""The files for systemd say what the daemon relies on."""

import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "meter-gateway.service"


def service() -> dict[str, list[str]]:
    """The keys of the unit's [Service] section, each with all its values."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def test_systemd_accepts_the_unit(required_tool: Callable[[str], str], tmp_path: Path) -> None:
    program = tmp_path / "meter-gateway"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/bin/meter-gateway", str(program)))
    result = subprocess.run(
        [required_tool("systemd-analyze"), "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ours = [line for line in result.stderr.splitlines() if UNIT.name in line]
    assert ours == [], result.stderr


def test_systemd_rates_the_unit_as_well_protected(required_tool: Callable[[str], str]) -> None:
    result = subprocess.run(
        [required_tool("systemd-analyze"), "security", "--offline=yes", "--threshold=13",
        str(UNIT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "Unknown option" in result.stderr or "unrecognized option" in result.stderr:
        pytest.skip("this systemd-analyze cannot rate a file (it is older than 250)")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_hang_and_a_crash_end_in_a_restart() -> None:
    keys = service()
    assert keys["Type"] == ["notify"]
    assert keys["WatchdogSec"] == ["60"]
    assert keys["Restart"] == ["always"]
    assert int(keys["RestartSec"][0]) >= 1
    assert "StartLimitIntervalSec=0" in UNIT.read_text(), "systemd never gives up on it"


def test_what_only_a_person_can_mend_is_not_tried_every_few_seconds() -> None:
    """systemd.exec(5): the exit codes of what it could not begin. Our own are others."""
    from gateway.cli.commands.run import BROKEN, CHANGED, EXHAUSTED, IN_USE

    assert service()["RestartPreventExitStatus"] == ["203 216 217"]
    assert not {203, 216, 217} & {0, 1, IN_USE, BROKEN, CHANGED, EXHAUSTED}


def test_the_pages_that_the_unit_names_are_where_the_package_puts_them() -> None:
    line = next(each for each in UNIT.read_text().splitlines() if "Documentation=" in each)
    target = Path("/usr/share/doc/meter-gateway")
    for name in line.removeprefix("Documentation=").split():
        page = Path(name.removeprefix("file://")).relative_to(target)
        assert page.parts[0] in ("README.md", "docs")
        assert (FOLDER.parent / page).is_file()


def test_before_there_is_a_configuration_it_is_skipped() -> None:
    assert "\nConditionPathExists=/etc/meter-gateway/gateway.yaml\n" in UNIT.read_text()


def test_it_runs_as_its_own_user_who_may_use_serial_ports() -> None:
    keys = service()
    sysusers = (FOLDER / "meter-gateway.sysusers").read_text()
    user = keys["User"][0]
    assert user == "meter-gateway"
    assert f"\nu {user} " in sysusers
    assert f"\nm {user} {keys['SupplementaryGroups'][0]}\n" in sysusers
    ports = {value.split()[0] for value in keys["DeviceAllow"]}
    assert ports == {"char-ttyUSB", "char-ttyACM", "char-ttyAMA", "char-ttyS"}
    for module in ("usbserial", "cdc_acm"):
        assert f"modprobe@{module}.service" in UNIT.read_text(), (
            "else ports plugged in later are not permitted"
        )


def test_what_protection_hides_from_the_clock_is_handed_over() -> None:
    """adjtimex is refused, so that systemd is asked over D-Bus (AF_UNIX); /proc/sys is hidden."""
    from gateway.timing.clock import BOOT_ID_VARIABLE

    keys = service()
    assert keys["ProtectClock"] == ["yes"]
    assert "AF_UNIX" in keys["RestrictAddressFamilies"][0].split()
    assert keys["ProcSubset"] == ["pid"]
    zones = "PYTHONTZPATH=/usr/share/zoneinfo"
    assert keys["Environment"] == ["MALLOC_ARENA_MAX=1", zones, f"{BOOT_ID_VARIABLE}=%b"]
    assert keys["SystemCallErrorNumber"] == ["EPERM"], "not a signal that would end the daemon"


def test_it_writes_where_the_default_buffer_lies() -> None:
    from gateway.site.config import DEFAULT_FOLDER
    from gateway.site.settings import BufferSettings

    keys = service()
    assert Path(BufferSettings().path).parent == Path("/var/lib") / keys["StateDirectory"][0]
    assert Path("/etc") / keys["ConfigurationDirectory"][0] == DEFAULT_FOLDER
    assert keys["ProtectSystem"] == ["strict"]


def test_it_is_known_from_one_start_to_the_next_how_the_last_one_failed() -> None:
    keys = service()
    assert keys["RuntimeDirectory"] == ["meter-gateway"]
    assert keys["RuntimeDirectoryPreserve"] == ["restart"]


def test_the_udev_rules_end_where_they_jump_to() -> None:
    rules = (FOLDER / "70-meter-gateway.rules").read_text()
    assert 'GOTO="meter_gateway_end"' in rules
    assert rules.rstrip().endswith('LABEL="meter_gateway_end"')
