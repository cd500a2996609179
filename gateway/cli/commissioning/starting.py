"""Starts the service with a new configuration, and waits until it has heard each meter."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import MADE_S
from gateway.cli.commands.status import NotReachable, report_of_page
from gateway.cli.service import is_booted
from gateway.cli.trial import shown_values, tried_clock
from gateway.delivery.kinds.exchange import settings_of
from gateway.site.service_unit import UNIT, service_unit
from gateway.timing.clock import Clock
from gateway.timing.utc import utc_seconds

if TYPE_CHECKING:
    from gateway.monitoring.report import Report
    from gateway.site.settings import Settings

_START_PATIENCE_S = 330.0
"""The unit's TimeoutStartSec, and a little more: a large buffer is checked first."""
_REACHABLE_WITHIN_S = 10.0
_FIRST_SAMPLE_S = 30.0
"""A meter is heard within three of its intervals, or within this long."""
_LOOK_S = 0.5


def is_service(folder: Path) -> bool:
    """Whether systemd runs the daemon of that folder on this machine."""
    return is_booted() and service_unit().runs(folder) and shutil.which("systemctl") is not None


def begin(settings: "Settings", *, starts: bool) -> list[str]:
    """Start the service, where `starts`, and wait until each meter is heard. Says how it goes;
    returns what is left to do.
    """
    left: list[str] = []
    told = tried_clock(Clock(settings.clock.trust, made_s=MADE_S))
    if told.mark == "✗":
        print(f"  {told}")
    if starts:
        print("Starting the service …", flush=True)
        if problem := start():
            return [f"the service does not start: {problem}"]
    heard = False
    for is_well, text in first_samples(settings, patient=starts):
        heard = True
        print(f"  {'ok' if is_well else '✗ '} {text}", flush=True)
        if not is_well:
            left.append(f"{text} — meter-gateway check --try looks closer")
    if heard:
        if told.mark != "✗":
            print(first_slot(settings, time.time()))
        print("meter-gateway status shows how it goes.")
    elif starts:
        left.append(f"the status page does not answer: systemctl status {UNIT}")
    else:
        print(f"All is written. Start it with: meter-gateway --config {settings.folder} run")
    return left


def start() -> str:
    """Start the service, or start it anew. Returns why that failed; empty where it is ready."""
    try:
        done = subprocess.run(  # noqa: S603  nothing in it is anybody's input
            [shutil.which("systemctl") or "systemctl", "restart", UNIT],
            capture_output=True,
            text=True,
            timeout=_START_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it is not ready after {_START_PATIENCE_S:g} s — see: journalctl -u {UNIT}"
    if done.returncode == 0:
        return ""
    return done.stderr.strip() or f"systemctl ended with {done.returncode}"


def first_samples(settings: "Settings", *, patient: bool) -> Iterator[tuple[bool, str]]:
    """Of each meter, as soon as it is known: whether the running daemon has heard it, and what it
    says. Nothing where no daemon of these settings runs. `patient`: it has just been started, and
    may not answer yet.
    """
    began_s = time.monotonic()
    waits = {
        device.name: max(_FIRST_SAMPLE_S, 3 * device.interval_s) for device in settings.devices
    }
    heard = False
    while waits:
        passed_s = time.monotonic() - began_s
        report = _report(settings)
        heard = heard or report is not None
        if not heard and passed_s > (_REACHABLE_WITHIN_S if patient else 0):
            return
        meters = {} if report is None else {each.name: each for each in report.meters}
        for name in list(waits):
            meter = meters.get(name)
            if meter is not None and meter.samples:
                yield True, f"{name}: {', '.join(shown_values(meter.values)) or 'heard'}"
                del waits[name]
            elif passed_s > waits[name]:
                why = meter.last_error if meter is not None and meter.last_error else "not heard"
                yield False, f"{name}: {why}"
                del waits[name]
        time.sleep(_LOOK_S if waits else 0)


def first_slot(settings: "Settings", now_s: float) -> str:
    """When the first slot ends that is measured from its begin, and when it will be accepted."""
    slot_s = settings.market.slot
    begin_s = -(-int(now_s) // slot_s) * slot_s
    end_s = begin_s + slot_s
    exchange = settings_of(settings)
    if exchange is None:
        return f"The first whole slot ends at {_clock(settings, end_s)}."
    by_s = end_s + exchange.quiet_s(settings.site, slot_s) + exchange.answer_within_s(slot_s)
    return (
        f"The first whole slot ends at {_clock(settings, end_s)}, and is accepted by about "
        f"{_clock(settings, by_s)}: meter-gateway slots shows it."
    )


def _report(settings: "Settings") -> "Report | None":
    try:
        report = report_of_page(settings)
    except NotReachable:
        return None
    return report if report.site == settings.site else None


def _clock(settings: "Settings", at_s: float) -> str:
    from datetime import datetime

    at = datetime.fromtimestamp(at_s, settings.timezone.zone)
    return f"{at:%H:%M:%S} ({utc_seconds(at_s)})"
