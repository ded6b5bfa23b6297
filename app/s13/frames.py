"""Cuts what a peer sends into messages, by the length in each header (RFC 6733 clause 3). What cannot be a message ends
the connection: nothing after it would be found again."""

from __future__ import annotations

from app.s13 import avps

# A question has some 300 bytes, and through a relay perhaps a thousand.
LARGEST = 16 * 1024
_VERSION = 1


class Broken(Exception):
    """These bytes are not Diameter; the text says why."""


class Frames:
    """What came on one connection and was not taken yet. `begun` is the time since which a message is under way, None
    while none is."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.begun: float | None = None

    def add(self, data: bytes, now: float) -> None:
        self._held += data
        self.begun = self.begun or now

    def next(self, now: float) -> bytes | None:
        """The next whole message, None while there is none. Raises Broken."""
        if len(self._held) < 4:
            return None
        length = int.from_bytes(self._held[1:4], "big")
        if self._held[0] != _VERSION:
            raise Broken(f"version {self._held[0]} of Diameter; it would be 1")
        if length < avps.HEADER or length > LARGEST or length % 4:
            raise Broken(f"a message of {length} bytes; it would be 20 to {LARGEST}, in fours")
        if len(self._held) < length:
            return None
        found = bytes(self._held[:length])
        del self._held[:length]
        self.begun = now if self._held else None
        return found
