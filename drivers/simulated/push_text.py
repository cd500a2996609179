"""Writes the text of an IEC 62056-21 meter: what it pushes (mode D), and the data in it. Pure.

Source: IEC 62056-21, 5.1 (even parity is the line's business), 6.4.2 (mode D), 6.5 (data sets).
"""

from collections.abc import Mapping


def push_text(values: Mapping[str, float], serial_number: str) -> bytes:
    """One telegram of a meter that shows these values (`drivers.sample.QUANTITIES`). Short, so that
    it fits a second at 2400 baud.
    """
    return b"/SIM5METER\r\n\r\n" + data_lines(values, serial_number) + b"!\r\n"


def data_lines(values: Mapping[str, float], serial_number: str) -> bytes:
    """The lines of its data."""
    lines = [f"1-0:96.1.0*255({serial_number})"]
    lines += [
        f"1-0:{c}.8.0*255({values[n] / 1000:011.4f}*kWh)"
        for c, n in ((1, "energy_import_wh"), (2, "energy_export_wh"))
        if n in values
    ]
    if "power_w" in values:
        lines.append(f"1-0:16.7.0*255({values['power_w']:09.2f}*W)")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
