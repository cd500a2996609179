"""Frames of Modbus as the standard has them, for tests and for those who play a meter."""

import struct


def sealed(frame: bytes) -> bytes:
    """With its CRC-16, bit by bit (Modbus over Serial Line V1.02, 6.2.2); not by what the daemon
    uses.
    """
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return frame + crc.to_bytes(2, "little")


def rtu(unit: int, *body: int, data: bytes = b"") -> bytes:
    """A frame of a serial line."""
    return sealed(bytes((unit, *body)) + data)


def mbap(transaction: int, unit: int, *body: int, data: bytes = b"") -> bytes:
    """A frame of Modbus TCP."""
    return (
        struct.pack(">HHHB", transaction, 0, 1 + len(body) + len(data), unit) + bytes(body) + data
    )
