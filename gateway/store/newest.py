"""The newest time that is known here, and which boot of the machine it is of: what a clock is
measured by that only an operator answers for.

Where the buffer was lost or replaced, what destinations have accepted tells (`accepted_marks`).
"""

from typing import NamedTuple

from gateway.store.tables import Tables


class Newest(NamedTuple):
    """What is known of the time. Unix times; 0 where nothing is."""

    at_s: float
    """The newest time that is stored, or up to which something was accepted."""
    earlier_boot_s: float
    """When a boot before this one still ran. Only where that is sure: a boot whose samples were
    lost must not be taken for an earlier one, or its clock would be called wrong for ever.
    """


def newest(tables: Tables, boot_id: str, slot_s: int) -> Newest:
    """What is known at the start of the daemon in this boot. Raises StoreError."""
    marks = tables.outbox.marks
    accepted_s = marks.newest_of_all_s
    accepted_until_s = 0.0 if accepted_s is None else float(accepted_s + slot_s)
    stored_s = tables.undated.newest_s() or 0.0

    sampled = tables.undated.newest_boot()
    earlier_s = 0.0
    if sampled and sampled.boot_id != boot_id:
        earlier_s = sampled.at_s
    if marks.boot_id and marks.boot_id != boot_id:
        earlier_s = max(earlier_s, accepted_until_s)
    if boot_id in (marks.boot_id, marks.restored_in, sampled and sampled.boot_id):
        earlier_s = 0.0
    return Newest(max(stored_s, accepted_until_s), earlier_s)
