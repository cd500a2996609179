"""What a fee brings: fee × energy of the slot. Pure."""

from gateway.store.grid_fee_rows import GridFee

MILLION = 1_000_000


def charged_kwh(row: GridFee) -> float | None:
    """The energy that the fee was charged on: all that was traded, or else what flowed in and out.
    None where neither is known.
    """
    if row.traded_kwh is not None:
        return row.traded_kwh
    if row.import_kwh is None or row.export_kwh is None:
        return None
    return row.import_kwh + row.export_kwh


def charged_fee(row: GridFee) -> float | None:
    """What was charged, in the network's unit: what the exchange says is in force, or else what it
    took. None where neither is known.
    """
    if row.in_force is not None:
        return row.in_force / MILLION
    return row.fee / MILLION if row.fee is not None and row.state == "taken" else None


def money_cents(row: GridFee) -> float | None:
    """The fee's money in that slot. In percent it is the fee's part of what was paid, which the
    average rate has in it. None where something of it is not known.
    """
    kwh, fee = charged_kwh(row), charged_fee(row)
    if kwh is None or fee is None:
        return None
    if row.fee_type == "constant" or kwh == 0:
        return kwh * fee if row.fee_type == "constant" else 0.0
    if row.average_rate is None:
        return None
    return kwh * row.average_rate * fee / (100 + fee)
