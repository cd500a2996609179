"""Connections as TCP has them, without sockets: two ends in one process, for a world in which time
is virtual.

What is written at one end arrives at the other a moment later, in order. Nobody reads at one end:
then it waits there, and the other end's write buffer grows. A pipe that is `stalled` is one whose
packets vanish on the way and are sent again: what is under way arrives once that is over.
"""

import asyncio
from collections import deque
from typing import Any

LATENCY_S = 0.03

_Piece = bytes | None
"""What travels; None: the end of it."""


class End(asyncio.Transport):
    """One end, as asyncio's protocols know connections."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol: asyncio.BaseProtocol = protocol
        self._loop = asyncio.get_running_loop()
        self._peer: End | None = None
        self._arrived: deque[_Piece] = deque()
        self._arrived_bytes = 0
        self._is_paused = False
        self._is_stalled = False
        self._is_closing = False
        self._is_lost = False

    # --- what asyncio asks of a transport ---------------------------------------------------------

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Send it."""
        if not self._is_closing and data:
            self._send(bytes(data))

    def get_write_buffer_size(self) -> int:
        """What the other end has not taken yet."""
        return 0 if self._peer is None else self._peer._arrived_bytes

    def close(self) -> None:
        """Close, once what is written has gone."""
        if not self._is_closing:
            self._send(None)
            self._end(None)

    def abort(self) -> None:
        """Be gone at once. The other end sees a connection that was reset."""
        if not self._is_lost:
            self._end(None)
        if self._peer is not None:
            self._loop.call_later(LATENCY_S, self._peer._reset)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Let what comes wait."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Take what has come."""
        self._is_paused = False
        self._loop.call_soon(self._hand_over)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who reads here."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who reads here from now on."""
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 — there is none
        """Nothing is known."""
        return default

    def vanish(self) -> None:
        """Whoever reads here is dead: nothing is handed over any more, and the other end sees a
        connection that was reset.
        """
        self._is_closing = self._is_stalled = True
        if self._peer is not None:
            self._loop.call_later(LATENCY_S, self._peer._reset)

    # --- on the way -------------------------------------------------------------------------------

    def stall(self, is_stalled: bool) -> None:
        """Whether what is sent to this end vanishes for now."""
        self._is_stalled = is_stalled
        self._loop.call_soon(self._hand_over)

    def _send(self, piece: _Piece) -> None:
        if self._peer is not None:
            self._peer._arrived_bytes += len(piece or b"")
            self._loop.call_later(LATENCY_S, self._peer._arrive, piece)

    def _arrive(self, piece: _Piece) -> None:
        self._arrived.append(piece)
        self._hand_over()

    def _hand_over(self) -> None:
        assert isinstance(self._protocol, asyncio.Protocol)
        while self._arrived and not (self._is_paused or self._is_stalled or self._is_lost):
            piece = self._arrived.popleft()
            if piece is None:
                if not self._protocol.eof_received():
                    self.close()
                return
            self._arrived_bytes -= len(piece)
            self._protocol.data_received(piece)

    def _reset(self) -> None:
        if not self._is_lost:
            self._end(ConnectionResetError(104, "Connection reset by peer"))

    def _end(self, error: Exception | None) -> None:
        self._is_closing = self._is_lost = True
        self._arrived.clear()
        self._loop.call_soon(self._protocol.connection_lost, error)


def join(one: asyncio.Protocol, other: asyncio.Protocol) -> tuple[End, End]:
    """A connection between these two."""
    ends = End(one), End(other)
    ends[0]._peer, ends[1]._peer = reversed(ends)
    for end, protocol in zip(ends, (one, other), strict=True):
        protocol.connection_made(end)
    return ends
