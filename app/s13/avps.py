"""Diameter messages as bytes and as AVPs (RFC 6733 clauses 3 and 4), and the codes that S13 needs. Owns what makes a
message malformed; knows no peer and no question.

Of python-diameter we take the AVPs and their dictionary alone. Its node is not for strangers: a message of length 0
keeps it busy for ever, and it has two threads for each connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from diameter.message.avp.avp import Avp
from diameter.message.packer import ConversionError, Unpacker

HEADER = 20
_HEAD = Struct(">5I")
TGPP = 10415
S13 = 16777252
# What a relay says that it can do: anything (RFC 6733 clause 2.4).
RELAY = 0xFFFFFFFF

REQUEST, PROXIABLE, ERROR = 0x80, 0x40, 0x20
_VENDOR_SPECIFIC = 0x80

# An AVP's name is its code and its vendor.
Name = tuple[int, int]
USER_NAME: Name = (1, 0)
HOST_IP_ADDRESS: Name = (257, 0)
AUTH_APPLICATION_ID: Name = (258, 0)
VENDOR_SPECIFIC_APPLICATION_ID: Name = (260, 0)
SESSION_ID: Name = (263, 0)
ORIGIN_HOST: Name = (264, 0)
SUPPORTED_VENDOR_ID: Name = (265, 0)
VENDOR_ID: Name = (266, 0)
RESULT_CODE: Name = (268, 0)
PRODUCT_NAME: Name = (269, 0)
DISCONNECT_CAUSE: Name = (273, 0)
AUTH_SESSION_STATE: Name = (277, 0)
ORIGIN_STATE_ID: Name = (278, 0)
FAILED_AVP: Name = (279, 0)
ERROR_MESSAGE: Name = (281, 0)
ROUTE_RECORD: Name = (282, 0)
DESTINATION_REALM: Name = (283, 0)
PROXY_INFO: Name = (284, 0)
DESTINATION_HOST: Name = (293, 0)
ORIGIN_REALM: Name = (296, 0)
EXPERIMENTAL_RESULT: Name = (297, 0)
EXPERIMENTAL_RESULT_CODE: Name = (298, 0)
INBAND_SECURITY_ID: Name = (299, 0)
DRMP: Name = (301, 0)
OC_SUPPORTED_FEATURES: Name = (621, 0)
SUPPORTED_FEATURES: Name = (628, TGPP)
TERMINAL_INFORMATION: Name = (1401, TGPP)
IMEI: Name = (1402, TGPP)
EQUIPMENT_STATUS: Name = (1445, TGPP)
MEID: Name = (1471, TGPP)

# The shortest value of those that we may have to name without having been told one.
_SHORTEST = {AUTH_SESSION_STATE: bytes(4)}


class Command(IntEnum):
    CAPABILITIES = 257
    WATCHDOG = 280
    DISCONNECT = 282
    ME_IDENTITY_CHECK = 324


class Result(IntEnum):
    """Result codes of RFC 6733 clause 7.1; the last is 3GPP's, and goes into an Experimental-Result."""

    SUCCESS = 2001
    COMMAND_UNSUPPORTED = 3001
    UNABLE_TO_DELIVER = 3002
    REALM_NOT_SERVED = 3003
    TOO_BUSY = 3004
    APPLICATION_UNSUPPORTED = 3007
    INVALID_HDR_BITS = 3008
    UNKNOWN_PEER = 3010
    AVP_UNSUPPORTED = 5001
    AUTHORIZATION_REJECTED = 5003
    INVALID_AVP_VALUE = 5004
    MISSING_AVP = 5005
    AVP_OCCURS_TOO_MANY_TIMES = 5009
    NO_COMMON_APPLICATION = 5010
    UNABLE_TO_COMPLY = 5012
    INVALID_AVP_LENGTH = 5014
    NO_COMMON_SECURITY = 5017
    EQUIPMENT_UNKNOWN = 5422

    @property
    def is_of_the_protocol(self) -> bool:
        """Such an answer has the error bit, and relays on its way act on it (clause 7.1.3)."""
        return 3000 <= self < 4000


class Refused(Exception):
    """A request is not answered as it would like: why, and the AVP that is at fault."""

    def __init__(self, result: Result, sentence: str, failed: Avp | None = None) -> None:
        super().__init__(sentence)
        self.result = result
        self.sentence = sentence
        self.failed = failed

    @property
    def said(self) -> list[Avp]:
        """What of it stands in an answer."""
        told = [new(RESULT_CODE, int(self.result)), new(ERROR_MESSAGE, self.sentence)]
        return told if self.failed is None else [*told, new(FAILED_AVP, [self.failed])]


class Message(NamedTuple):
    """A message. One whose AVPs cannot be read to the end has those before, and the fault."""

    flags: int
    command: int
    application: int
    hop_by_hop: int
    end_to_end: int
    avps: tuple[Avp, ...]
    fault: Refused | None = None

    @property
    def is_request(self) -> bool:
        return bool(self.flags & REQUEST)

    def one(self, name: Name) -> Avp | None:
        """The first AVP of that name."""
        return next(iter(self.all(name)), None)

    def all(self, name: Name) -> list[Avp]:
        return [avp for avp in self.avps if (avp.code, avp.vendor_id) == name]

    def reply(self, said: Iterable[Avp | bytes], result: Result = Result.SUCCESS) -> bytes:
        """An answer to this request, which has its numbers. What is always the same may be in bytes already."""
        flags = self.flags & PROXIABLE | (ERROR if result.is_of_the_protocol else 0)
        return _packed(flags, self.command, self.application, self.hop_by_hop, self.end_to_end, said)


def request(command: Command, number: int, said: Iterable[Avp | bytes]) -> bytes:
    """A request of ours to a neighbour."""
    return _packed(REQUEST, command, 0, number, number, said)


def packed(said: Iterable[Avp | bytes]) -> bytes:
    return b"".join(avp if isinstance(avp, bytes) else avp.as_bytes() for avp in said)


def _packed(
    flags: int, command: int, application: int, hop_by_hop: int, end_to_end: int, said: Iterable[Avp | bytes]
) -> bytes:
    body = packed(said)
    length = HEADER + len(body)
    return _HEAD.pack(1 << 24 | length, flags << 24 | command, application, hop_by_hop, end_to_end) + body


def read(data: bytes) -> Message:
    """The message in bytes that are one, by their header."""
    _, flags_command, application, hop_by_hop, end_to_end = _HEAD.unpack_from(data)
    avps, fault = _members(data, HEADER)
    return Message(
        flags_command >> 24, flags_command & 0xFFFFFF, application, hop_by_hop, end_to_end, avps, fault
    )


def members(group: Avp) -> tuple[Avp, ...]:
    """What a grouped AVP holds. Raises Refused where that cannot be read."""
    found, fault = _members(group.payload, 0)
    if fault:
        raise fault
    return found


def _members(data: bytes, at: int) -> tuple[tuple[Avp, ...], Refused | None]:
    found: list[Avp] = []
    unpacker = Unpacker(data)
    unpacker.set_position(at)
    while (at := unpacker.get_position()) < len(data):
        try:
            if _length(data, at) < (12 if data[at + 4] & _VENDOR_SPECIFIC else 8):
                return tuple(found), _wrong_length(data, at)
            found.append(Avp.from_unpacker(unpacker))
        except (ConversionError, IndexError):
            return tuple(found), _wrong_length(data, at)
    return tuple(found), None


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 5 : at + 8], "big")


def _wrong_length(data: bytes, at: int) -> Refused:
    """Names the AVP without its value, as clause 7.1.5 allows; there may be no more than half of its header."""
    code, flags = int.from_bytes(data[at : at + 4], "big"), (data[at + 4 : at + 5] or b"\0")[0]
    vendor = int.from_bytes(data[at + 8 : at + 12], "big") if flags & _VENDOR_SPECIFIC else 0
    sentence = f"The length {_length(data, at)} of AVP {code} does not fit what holds it."
    return Refused(Result.INVALID_AVP_LENGTH, sentence, Avp(code, vendor, flags=flags))


def new(name: Name, value: Any) -> Avp:
    """An AVP with its flags as the standards have them. A group's value is a list of AVPs."""
    found: Avp = Avp.new(*name, value=value)
    return found


def empty(name: Name) -> Avp:
    """An AVP that was not there, as it is named in a Failed-AVP (clause 7.5)."""
    found: Avp = Avp.new(*name)
    found.payload = _SHORTEST.get(name, b"")
    return found
