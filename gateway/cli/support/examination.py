"""Everything that a person who helps from afar would ask, in their order."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gateway.cli.commands.status import NotReachable, last_heard, told_by_page
from gateway.cli.service import is_booted, shown
from gateway.cli.support.machine import machine
from gateway.cli.trial import Mark, Tried, trials
from gateway.delivery.own_certificate import certificates_told
from gateway.operator.loading import load
from gateway.site.access import access_problems
from gateway.site.credentials import ConfigError
from gateway.site.service_unit import UNIT, account_of, service_unit
from gateway.site.settings import Settings
from gateway.site.suspicions import suspicions

_PROPERTIES = "ActiveState,SubState,UnitFileState,NRestarts,StatusText,ConditionResult"
_RESTARTS_OK = 3

Section = str
Finding = tuple[Section, Tried]


async def examine(folder: Path) -> AsyncIterator[Finding]:
    """Each finding, under the words for what it is about."""
    for tried in machine():
        yield "This machine", tried
    for tried in service(folder):
        yield "The service", tried
    settings, found = configuration(folder)
    for tried in found:
        yield "The configuration", tried
    if settings is None:
        yield "Tried", Tried("–", "meters and logins", "not tried: mend the configuration first")
        return
    for tried in daemon(settings):
        yield "What the daemon says", tried
    async for tried in trials(settings, last_heard(settings)):
        yield "Tried", tried


def configuration(folder: Path) -> tuple[Settings | None, list[Tried]]:
    """What is wrong with it, each mistake for itself; and the settings where they can be used."""
    settings, problems = None, []
    try:
        settings = load(folder)
        problems = list(settings.borne)
    except ConfigError as error:
        problems = error.problems
    unit = service_unit()
    account = account_of(unit) if os.geteuid() == 0 else None
    if account is not None:
        problems = [*problems, *access_problems(folder, settings, unit, account)]
    found = [Tried("✗", "mistake", str(problem)) for problem in problems]
    if settings is not None:
        found += [Tried("✗", "suspect", str(each)) for each in suspicions(settings)]
        found += [Tried("✗", "warning", text) for text in settings.warnings()]
        told = certificates_told(settings.folder, settings.destinations, time.time())
        found += [Tried("✗", "certificate", text) for text in told]
    if not found:
        assert settings is not None
        count = len(settings.devices)
        found = [
            Tried(
                "ok",
                str(folder),
                f"no mistakes; {count} meter{'s' * (count != 1)}, "
                f"{len(settings.assets)} asset{'s' * (len(settings.assets) != 1)}",
            )
        ]
    return settings, found


def service(folder: Path) -> Iterator[Tried]:
    """What systemd says of the unit."""
    if not is_booted():
        yield Tried("–", UNIT, "systemd does not run this machine")
    elif not service_unit().runs(folder.absolute()):
        yield Tried("–", UNIT, f"the service does not run {folder}")
    elif said := shown(UNIT, _PROPERTIES):
        yield from judged(said)
    else:
        yield Tried("–", UNIT, "systemd does not answer")


def judged(said: dict[str, str]) -> Iterator[Tried]:
    """Properties of the unit, in words."""
    state, text = said.get("ActiveState", ""), said.get("StatusText", "")
    if state == "active" and not text.startswith(("not started", "ended", "reload refused")):
        yield Tried("ok", UNIT, f"runs: {text or said.get('SubState', '')}")
    elif state == "active":
        yield Tried("✗", UNIT, text)
    elif said.get("ConditionResult") == "no":
        hint = "there is no gateway.yaml yet: sudo meter-gateway init"
        yield Tried("✗", UNIT, f"was skipped — {hint}")
    else:
        hint = f"start it: systemctl start {UNIT}; why it ended: journalctl -u {UNIT} -n 50"
        yield Tried("✗", UNIT, f"{state or 'not known to systemd'} — {hint}")
    if said.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        yield Tried("✗", "at boot", f"it is not started — systemctl enable {UNIT}")
    restarts = said.get("NRestarts", "0")
    if restarts.isdigit() and int(restarts) > _RESTARTS_OK:
        hint = f"journalctl -u {UNIT} -p warning says why"
        yield Tried("✗", "restarts", f"systemd has started it anew {restarts} times — {hint}")


def daemon(settings: Settings) -> Iterator[Tried]:
    """The running daemon's own words, as `status` and the page have them."""
    try:
        report, problems = told_by_page(settings)
    except NotReachable as error:
        yield Tried("✗", "status", str(error).replace("\n", " "))
        return
    mark: Mark = "ok" if report.verdict == "well" else "–" if report.verdict == "starting" else "✗"
    yield Tried(mark, "status", report.headline())
    for text in problems or report.reasons():
        yield Tried("✗", "attention", text)
    for text in report.starting():
        yield Tried("–", "awaited", text)
