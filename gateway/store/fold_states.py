"""States of folds as they are written: JSON, without what is as it is by default, and with the
directions packed, because they are most of it and are written with every slot.
"""

import base64
import zlib
from typing import Any

import msgspec

from gateway.energy.slot import MeterState
from gateway.store.rows import lean

_PACKED = "directions"


def encoded(state: MeterState) -> bytes:
    """The state as it is written."""
    return msgspec.json.encode(_with_packed(lean(state), _pack))


def decoded(data: bytes) -> MeterState:
    """The state that was written, packed or not. Raises msgspec.DecodeError where it is none."""
    try:
        return msgspec.convert(_with_packed(msgspec.json.decode(data), _unpack), MeterState)
    except (zlib.error, ValueError) as error:
        raise msgspec.DecodeError(f"packed directions are damaged: {error}") from error


def _with_packed(value: Any, pack: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: pack(each) if key == _PACKED else _with_packed(each, pack)
        for key, each in value.items()
    }


def _pack(value: Any) -> Any:
    if value is None:
        return None
    return base64.b64encode(zlib.compress(msgspec.json.encode(value), 9)).decode("ascii")


def _unpack(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return msgspec.json.decode(zlib.decompress(base64.b64decode(value, validate=True)))
