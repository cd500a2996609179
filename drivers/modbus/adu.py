"""The frames that carry function and data, called application data units: with an address and a
checksum on a serial line (Modbus over Serial Line V1.02, 2.3 and 2.5.1), with a header on TCP
(Modbus Messaging on TCP/IP V1.0b, 3.1.3). Pure.
"""

from drivers import crc16

MBAP_BYTES = 6
"""Of the header on Modbus TCP, which end with how many bytes follow: unit, function and data."""

HEADER_BYTES = MBAP_BYTES + 1
"""What stands before function and data on Modbus TCP: the unit belongs to it."""


def rtu(unit: int, body: bytes) -> bytes:
    """Function and data as they travel on a serial line."""
    return sealed(bytes((unit,)) + body)


def sealed(frame: bytes) -> bytes:
    """With its checksum."""
    return frame + crc16.modbus(frame).to_bytes(2, "little")


def is_sealed(frame: bytes) -> bool:
    """Whether it ends with the checksum of what stands before."""
    return crc16.modbus(frame[:-2]).to_bytes(2, "little") == frame[-2:]


def mbap(transaction: int, unit: int, body: bytes) -> bytes:
    """Function and data as they travel on Modbus TCP."""
    length = 1 + len(body)
    return (
        transaction.to_bytes(2, "big") + b"\0\0" + length.to_bytes(2, "big") + bytes((unit,)) + body
    )
