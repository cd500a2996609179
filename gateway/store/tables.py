"""The tables of one file, put together."""

from gateway.store.asset_slot_table import AssetSlotTable
from gateway.store.change_table import ChangeTable
from gateway.store.counter_table import CounterTable
from gateway.store.database import Database
from gateway.store.event_table import EventTable
from gateway.store.forecast_state_table import ForecastStateTable
from gateway.store.grid_fee_table import GridFeeTable
from gateway.store.integrity import IntegrityCheck
from gateway.store.outbox_table import OutboxTable
from gateway.store.samples import SampleTable
from gateway.store.slot_table import SlotTable
from gateway.store.unallocated_table import UnallocatedTable
from gateway.store.undated_samples import UndatedSamples


class Tables:
    """The tables of one file."""

    def __init__(self, database: Database, slot_s: int) -> None:
        self.samples = SampleTable(database, slot_s)
        self.undated = UndatedSamples(database, self.samples)
        self.counters = CounterTable(database)
        self.slots = SlotTable(database)
        self.asset_slots = AssetSlotTable(database)
        self.forecast_states = ForecastStateTable(database)
        self.unallocated = UnallocatedTable(database)
        self.outbox = OutboxTable(database)
        self.changes = ChangeTable(database, self.outbox)
        self.grid_fees = GridFeeTable(database)
        self.events = EventTable(database)
        self.integrity = IntegrityCheck(database)
