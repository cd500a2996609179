"""Tables as Parquet files, at a desk or on a server: pyarrow has 150 MB."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gateway.cli.terminal import Refused


class Parquet:
    """A file that rows are added to. Columns are text, whole numbers, or, where their name ends in
    one of FRACTIONS, fractions.
    """

    FRACTIONS = ("_kwh", "_percent")
    TEXTS = ("site", "asset", "month", "first_day", "worst_day")

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Raises Refused where pyarrow is not installed."""
        try:
            import pyarrow  # type: ignore[import-untyped]
            from pyarrow import parquet
        except ImportError as error:
            raise Refused(
                "a Parquet file needs pyarrow, which is not installed here: pip install "
                "'meter-gateway[reports]'; .csv and .xlsx need nothing"
            ) from error
        self._pyarrow = pyarrow
        self._schema = pyarrow.schema([(name, self._type(name)) for name in columns])
        self._writer = parquet.ParquetWriter(path, self._schema)

    def _type(self, name: str) -> Any:
        if name in self.TEXTS:
            return self._pyarrow.string()
        if name.endswith(self.FRACTIONS):
            return self._pyarrow.float64()
        return self._pyarrow.int64()

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append these rows."""
        columns = list(zip(*rows, strict=True))
        arrays = [
            self._pyarrow.array(column, type=field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._pyarrow.Table.from_arrays(arrays, schema=self._schema))

    def finish(self) -> None:
        """All is written when it is closed."""

    def close(self) -> None:
        """Complete the file."""
        self._writer.close()
