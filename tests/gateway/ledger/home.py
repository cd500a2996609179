"""A gateway's books over a real buffer file, that a test can flush, stop and kill."""

from pathlib import Path

from drivers.sample import Sample
from gateway.delivery.kinds import load
from gateway.delivery.kinds.exchange import settings_of
from gateway.energy.slot import Slot
from gateway.ledger.exchange_terms import exchange_terms
from gateway.ledger.ledger import Committed, Ledger
from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Terms
from gateway.outbox.owed import Owed
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock, Sources

BEGIN_S = 1_800_000_000
LOAD = "26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"
PV = "cf3b262c-1111-4c39-a9ae-0f6b32c9d2a1"
NETWORK = "8a2c8a2c-1111-4c39-a9ae-0f6b32c9d2a1"


def terms_of(settings: Settings, buffer: Buffer, dialect: str = "sdk") -> list[Terms]:
    """What the site's exchange is owed."""
    exchange = settings_of(settings)
    if exchange is None:
        return []
    spoken = load_dialect(dialect, str(exchange.canary_network), settings.market.slot)
    return [
        exchange_terms(
            settings,
            spoken,
            buffer,
            forecast=exchange.forecast,
            kept=exchange.kept(int(settings.market.slot)),
        )
    ]


def take(ledger: Ledger, sample: Sample) -> Committed | None:
    """A sample, and whatever the daemon would do for it in a moment, at once. Returns what was
    committed.
    """
    if ledger.take(sample):
        return ledger.commit()
    if sample.utc_ms is not None and not ledger.caught_up:
        ledger.replay()
    return None


def site(
    folder: Path,
    *,
    forecast: str = "last_slot",
    slot: str = "15min",
    invert_pv: bool = False,
    look_back: str = "0s",
) -> Settings:
    """Settings of a home with a DSMR meter and an SDM120 on the panels, from real files. Slots
    close for good when they end, unless `look_back` says otherwise.
    """
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(f"""\
site: home-12
market: {{slot: {slot}, look_back: {look_back}}}
exchange: {{dialect: sdk, canary_network: {NETWORK}, credentials: exchange.credentials,
    forecast: {forecast}}}
assets:
  - {{name: Home load, uuid: {LOAD}, kind: load, energy: grid.import - grid.export + pv.export}}
  - {{name: PV, uuid: {PV}, kind: pv, energy: pv.export}}
""")
    credentials = folder / "exchange.credentials"
    credentials.write_text("username: someone\npassword: secret\n")
    credentials.chmod(0o600)
    (folder / "devices/grid.yaml").write_text("profile: dsmr/dsmr5\nline: serial:/dev/ttyUSB0\n")
    (folder / "devices/pv.yaml").write_text(
        f"profile: eastron/sdm120\nline: serial:/dev/ttyUSB1\ninvert: {str(invert_pv).lower()}\n"
    )
    return load(folder)


class Home:
    """A gateway's books over a file, that a test can flush, stop and kill."""

    def __init__(
        self, folder: Path, settings: Settings, *, trust: str = "assured", dialect: str = "sdk"
    ) -> None:
        self.dialect = dialect
        self.path = folder / "buffer.sqlite"
        self.settings = settings
        self.now_s = float(BEGIN_S)
        self.wall_off_s = 0.0
        self.boot = 0
        self.synchronised = trust == "assured"
        self.start()

    def start(self) -> None:
        boot = self.boot
        sources = Sources(
            lambda: self.now_s + self.wall_off_s,
            lambda: self.now_s - BEGIN_S,
            lambda: self.synchronised,
            lambda: f"boot-{boot}",
        )
        self.clock = Clock("kernel", sources)
        self.buffer: Buffer = open_buffer(self.path, now_s=self.now_s)
        terms = terms_of(self.settings, self.buffer, self.dialect)
        self.ledger = Ledger(self.settings, self.buffer, self.clock, terms)
        self.ledger.replay()

    def stop(self) -> None:
        self.ledger.checkpoint()
        self.buffer.close_file()

    def kill(self) -> None:
        """As kill -9 leaves it: what waited in memory is gone, what was committed is there."""
        self.buffer.abandon()

    def take(
        self,
        device: str,
        at_ms: int,
        serial: str | None = "S",
        *,
        widened: tuple[str, ...] = (),
        **values: float,
    ) -> None:
        self.now_s = max(self.now_s, at_ms / 1000)
        utc_ms = at_ms if self.clock.trusted else None
        take(
            self.ledger,
            Sample(
                device,
                serial,
                self.clock.boot_id,
                at_ms - BEGIN_S * 1000,
                utc_ms,
                values,
                widened=widened,
            ),
        )

    def measurements(self) -> dict[tuple[str, int], Owed]:
        return {
            (str(o.item.subject), o.item.slot_s - BEGIN_S): o
            for o in self.buffer.owed()
            if o.item.kind == "measurement"
        }

    def forecasts(self) -> dict[tuple[str, int], int]:
        return {
            (str(o.item.subject), o.item.slot_s - BEGIN_S): o.item.energy_uwh
            for o in self.buffer.owed()
            if o.item.kind == "forecast"
        }


def run(
    home: Home,
    begin_s: int,
    end_s: int,
    *,
    load_w: float = 3600,
    pv_w: float = 1800,
    devices: tuple[str, ...] = ("grid", "pv"),
) -> None:
    """A steady day: the grid delivers what the panels do not."""
    for t in range(begin_s, end_s + 1, 10):
        at_ms = (BEGIN_S + t) * 1000
        net_w = load_w - pv_w
        if "grid" in devices:
            imported, exported = max(net_w, 0) * t / 3600, max(-net_w, 0) * t / 3600
            home.take(
                "grid",
                at_ms,
                energy_import_wh=5000 + imported,
                energy_export_wh=700 + exported,
                power_w=net_w,
            )
        if "pv" in devices:
            home.take(
                "pv",
                at_ms,
                energy_import_wh=1,
                energy_export_wh=9000 + pv_w * t / 3600,
                power_w=-pv_w,
            )


def books(home: Home) -> tuple[list[Slot], list[Owed], list[str]]:
    home.buffer.flush()
    return list(home.buffer.slots()), list(home.buffer.owed()), home.buffer.latest_events(1000)


def everything_uwh(home: Home, device: str, direction: str) -> tuple[int, int]:
    """What is in slots or on record as unallocated, and how far the counter has come since its
    first reading.
    """
    home.buffer.flush()
    mine = [
        slot for slot in home.buffer.slots() if (slot.device, slot.direction) == (device, direction)
    ]
    left = [
        left.what
        for left in home.buffer.unallocated()
        if (left.what.device, left.what.direction) == (device, direction)
    ]
    state = home.ledger.state_of(device)
    assert state is not None
    each = state.directions[direction]  # type: ignore[index]
    open_uwh = each.counter.counter_uwh - each.slot.begin_uwh
    stated_uwh = sum(slot.energy_uwh or 0 for slot in mine) + sum(what.energy_uwh for what in left)
    return stated_uwh + open_uwh, each.counter.counter_uwh - min(slot.begin_uwh for slot in mine)


def hourly(home: Home, begin_s: int, end_s: int, *, pv_w: float = 1800) -> None:
    """The panels' meter shows power every 10 s, and its register 10 s after each full hour; the
    grid's shows all of it.
    """
    for t in range(begin_s, end_s + 1, 10):
        at_ms = (BEGIN_S + t) * 1000
        home.take(
            "grid",
            at_ms,
            energy_import_wh=5000.0,
            energy_export_wh=700 + pv_w * t / 3600,
            power_w=-pv_w,
        )
        values = {"power_w": -pv_w}
        if t % 3600 == 10 or t == 0:
            values |= {
                "energy_import_wh": 1.0,
                "energy_export_wh": float(int(9000 + pv_w * t / 3600)),
            }
        home.take("pv", at_ms, **values)
