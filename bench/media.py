"""What a caller says and presses: RTP packets, each sent when one is heard.

sipp plays audio and DTMF through raw sockets, which ordinary users may not open, so its callers borrow their
ears and voices here: one small process with one UDP socket for all of them (`python -m bench.media`). sipp
tells through a pipe where each answered call's audio comes from. A caller speaks one packet for every packet
she hears, so that Asterisk's own clock paces both and nothing here needs a timer.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
from pathlib import Path

VOICE, EVENT = 8, 101
"""Payload types: G.711 A-law, and the telephone-event of our SDP."""
PACKET = 160
"""Samples in 20 ms at 8 kHz."""
WHISPER = bytes(0x55 ^ (0x10 if n % 8 < 4 else 0x90) for n in range(PACKET))
"""A quiet 1 kHz square wave in A-law: sound enough that no recording is empty."""
KEY = 1
KEY_PACKETS, END_PACKETS = 5, 3
"""A key of 100 ms, and its end three times, as RFC 4733 (2.5.1.4) asks."""
LOUDNESS = 10
"""-10 dBm0, the tone's level an event carries."""

Address = tuple[str, int]


class Caller:
    """One call's outgoing audio."""

    def __init__(self, ssrc: int, press_after: int) -> None:
        """`press_after`: how many packets she listens before she presses 1."""
        self._ssrc, self._press_after = ssrc, press_after
        self.heard = 0

    def speaks(self) -> bytes:
        """What she sends for the packets heard so far."""
        pressed = self.heard - self._press_after
        if 0 <= pressed < KEY_PACKETS + END_PACKETS:
            return self._key(pressed)
        return self._packet(VOICE, self.heard * PACKET, WHISPER)

    def _key(self, pressed: int) -> bytes:
        """Every packet of one event carries the moment it began."""
        ended = pressed >= KEY_PACKETS
        duration = min(pressed + 1, KEY_PACKETS) * PACKET
        event = struct.pack("!BBH", KEY, (0x80 if ended else 0) | LOUDNESS, duration)
        return self._packet(EVENT, self._press_after * PACKET, event, first=pressed == 0)

    def _packet(self, kind: int, moment: int, payload: bytes, first: bool = False) -> bytes:
        marker = 0x80 if first else 0
        return struct.pack("!BBHII", 0x80, marker | kind, self.heard & 0xFFFF, moment, self._ssrc) + payload


def answered(line: bytes) -> tuple[Address, int]:
    """Where a call's audio comes from and when its caller presses, out of sipp's line: b"127.0.0.20 20004 70"."""
    host, port, press_after = line.split()
    return (host.decode(), int(port)), int(press_after)


def serve(media: socket.socket, pipe: int) -> None:
    """Speak for every call that sipp tells of, until killed."""
    callers: dict[int, Caller] = {}
    waiting = selectors.DefaultSelector()
    waiting.register(media, selectors.EVENT_READ)
    waiting.register(pipe, selectors.EVENT_READ)
    rest, calls = b"", 0
    while True:
        for key, _ in waiting.select():
            if key.fd == pipe:
                *lines, rest = (rest + os.read(pipe, 65_536)).split(b"\n")
                for line in lines:
                    calls += 1
                    where, press_after = answered(line)
                    callers[where[1]] = caller = Caller(calls, press_after)
                    media.sendto(caller.speaks(), where)
            else:
                _hear(media, callers)


def _hear(media: socket.socket, callers: dict[int, Caller]) -> None:
    """Everything that has come in by now. A call is known by its port: one is nobody else's on one machine."""
    try:
        while True:
            _, where = media.recvfrom(2048)
            if caller := callers.get(where[1]):
                caller.heard += 1
                media.sendto(caller.speaks(), where)
    except BlockingIOError:
        return


def main(arguments: list[str]) -> None:
    host, port, pipe = arguments
    Path(pipe).unlink(missing_ok=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        media.bind((host, int(port)))
        media.setblocking(False)
        os.mkfifo(pipe)
        # Opened for both ways, so that the pipe outlives each sipp.
        serve(media, os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


if __name__ == "__main__":
    main(sys.argv[1:])
