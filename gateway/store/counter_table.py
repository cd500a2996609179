"""The table of counters: the fold of each meter, as of the sample it stopped at."""

from gateway.energy.slot import MeterState
from gateway.store.database import Database
from gateway.store.fold_states import decoded, encoded


class CounterTable:
    """States of folds on disk. Each method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, device: str, sample_id: int, state: MeterState) -> None:
        """Inside a transaction."""
        self._database.connection.execute(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sample_id = "
            "excluded.sample_id, state = excluded.state",
            (device, sample_id, encoded(state)),
        )

    def read(self) -> dict[str, tuple[int, MeterState]]:
        """For every device: the number of the sample, and the fold's state as of it."""
        rows = self._database.rows("SELECT device, sample_id, state FROM counters")
        return {device: (sample_id, decoded(state)) for device, sample_id, state in rows}
