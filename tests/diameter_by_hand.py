"""Diameter by hand, after RFC 6733 and TS 29.272 alone: so that a library which is wrong on both sides is found out."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

REALM = "epc.mnc001.mcc001.3gppnetwork.org"
EIR, MME, SGSN = f"eir.{REALM}", f"mme.{REALM}", f"sgsn.{REALM}"
TGPP, S13 = 10415, 16777252
CER, DWR, DPR, ECR = 257, 280, 282, 324
REQUEST, PROXIABLE, ERROR, AGAIN = 0x80, 0x40, 0x20, 0x10


class Avp(NamedTuple):
    """Its code, its vendor or 0, the mandatory bit, and its value."""

    code: int
    value: bytes
    vendor: int = 0
    mandatory: bool = True

    @property
    def packed(self) -> bytes:
        flags = (0x80 if self.vendor else 0) | (0x40 if self.mandatory else 0)
        head = struct.pack(">II", self.code, flags << 24 | (12 if self.vendor else 8) + len(self.value))
        vendor = struct.pack(">I", self.vendor) if self.vendor else b""
        return head + vendor + self.value + b"\0" * (-len(self.value) % 4)


def number(code: int, value: int, vendor: int = 0) -> Avp:
    return Avp(code, struct.pack(">I", value), vendor)


def text(code: int, value: str, vendor: int = 0) -> Avp:
    return Avp(code, value.encode(), vendor)


def group(code: int, *avps: Avp, vendor: int = 0) -> Avp:
    return Avp(code, b"".join(avp.packed for avp in avps), vendor)


def message(
    flags: int,
    command: int,
    application: int,
    hop: int,
    end: int,
    avps: Sequence[Avp],
    length: int | None = None,
) -> bytes:
    body = b"".join(avp.packed for avp in avps)
    length = 20 + len(body) if length is None else length
    return struct.pack(">IIIII", 1 << 24 | length, flags << 24 | command, application, hop, end) + body


class Said(NamedTuple):
    """A message as it came, its AVPs by their codes in the order in which they stood."""

    flags: int
    command: int
    application: int
    hop: int
    end: int
    avps: list[Avp]

    def all(self, code: int) -> list[Avp]:
        return [avp for avp in self.avps if avp.code == code]

    def number(self, code: int) -> int | None:
        found = self.all(code)
        return int.from_bytes(found[0].value, "big") if found else None

    @property
    def result(self) -> int | None:
        """The result, or the one of 3GPP's."""
        if experimental := self.all(297):
            assert self.number(268) is None, "an answer has one result"
            vendor, code = unpacked(experimental[0].value)
            assert (vendor.code, int.from_bytes(vendor.value, "big")) == (266, TGPP)
            assert code.code == 298
            return int.from_bytes(code.value, "big")
        return self.number(268)

    @property
    def status(self) -> int | None:
        return self.number(1445)


def unpacked(body: bytes) -> list[Avp]:
    found, at = [], 0
    while at < len(body):
        code, word = struct.unpack_from(">II", body, at)
        flags, length = word >> 24, word & 0xFFFFFF
        head = 12 if flags & 0x80 else 8
        vendor = struct.unpack_from(">I", body, at + 8)[0] if flags & 0x80 else 0
        assert length >= head
        found.append(Avp(code, body[at + head : at + length], vendor, bool(flags & 0x40)))
        at += -(-length // 4) * 4
    assert at == len(body), "the AVPs fill the message"
    return found


class RawPeer:
    """A connection of its own. `source` is an address of this machine to come from."""

    def __init__(self, port: int, host: str = MME, source: str = "127.0.0.1", timeout: float = 20) -> None:
        self.host = host
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        self._numbers = itertools.count(1)

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def next(self) -> Said | None:
        """The next message, None where the connection has ended."""
        head = self._exactly(20)
        if head is None:
            return None
        word, flags_command, application, hop, end = struct.unpack(">IIIII", head)
        assert word >> 24 == 1
        body = self._exactly((word & 0xFFFFFF) - 20)
        assert body is not None
        return Said(flags_command >> 24, flags_command & 0xFFFFFF, application, hop, end, unpacked(body))

    def heard(self) -> Said:
        found = self.next()
        assert found is not None, "the gateway has closed the connection"
        return found

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionError:
                return None
            if not more:
                assert not data, "the connection ended within a message"
                return None
            data += more
        return data

    def origin(self) -> list[Avp]:
        return [text(264, self.host), text(296, REALM)]

    def cer(self, *instead: Avp) -> bytes:
        said = instead or (number(258, S13),)
        avps = [*self.origin(), Avp(257, b"\0\1\x7f\0\0\1"), number(266, 0), text(269, "by hand"), *said]
        return message(REQUEST, CER, 0, 1, 1, avps)

    def hello(self) -> RawPeer:
        self.send(self.cer())
        answer = self.heard()
        assert (answer.command, answer.flags, answer.result) == (CER, 0, 2001)
        return self

    def ecr(self, imei: str | bytes | None, *, number_: int | None = None, **changes: Avp | None) -> bytes:
        """A question; AVPs are changed, or left out, by the names that they have here."""
        held: dict[str, Avp | None] = {
            "session": text(263, f"{self.host};1;{number_ or 0}"),
            "application": group(260, number(266, TGPP), number(258, S13)),
            "state": number(277, 1),
            "origin_host": text(264, self.host),
            "origin_realm": text(296, REALM),
            "realm": text(283, REALM),
            "terminal": None if imei is None else terminal(imei),
        }
        avps = [avp for avp in {**held, **changes}.values() if avp is not None]
        one = next(self._numbers) if number_ is None else number_
        return message(REQUEST | PROXIABLE, ECR, S13, one, one ^ 0xA5A5, avps)

    def ask(self, imei: str | bytes | None, **changes: Avp | None) -> Said:
        self.send(self.ecr(imei, **changes))
        return self.heard()


def terminal(imei: str | bytes, *more: Avp) -> Avp:
    value = imei.encode() if isinstance(imei, str) else imei
    return group(1401, Avp(1402, value, TGPP), *more, vendor=TGPP)
