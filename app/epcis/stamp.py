"""What an event gets on its way in: an identity where it came without one, its record time, and its context.

An identity that we give is a UUID (RFC 9562, version 8) made of the SHA-256 of what the event says, so the same
event sent again is the same event. It is not the hash of CBV 2.0: that asks for every identifier of GS1 to be
rewritten as a Digital Link, which we do for those of devices, pallets and places only.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from app.epcis.document import STANDARD_CONTEXT, Read, own_context
from app.epcis.members import written

# What may be added to an event later without making it another one.
_BESIDE = ("eventID", "recordTime", "errorDeclaration", "@context")


def digest(raw: bytes) -> bytes:
    """The SHA-256 of what an event says, in whatever order and spacing, apart from who, when and whether it
    was right."""
    said = msgspec.json.decode(raw, type=dict[str, Any])
    for name in _BESIDE:
        said.pop(name, None)
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).digest()


def identity(digest: bytes) -> str:
    """The identity of an event that came without one."""
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76
    digits = f"{number & ~(0x3 << 62) | 2 << 62:032x}"
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def stored(read: Read, event_id: str, now: datetime) -> bytes:
    """The event as it is kept and answered: every member as it came, with its identity and record time, and
    with the context that its document gave it, where that is more than the standard's."""
    members = msgspec.json.decode(read.raw, type=dict[str, msgspec.Raw])
    members["eventID"] = _raw(event_id)
    members["recordTime"] = _raw(written(now))
    own = own_context(msgspec.json.decode(members["@context"])) if "@context" in members else ()
    context = [*read.context, *(part for part in own if part not in read.context)]
    members.pop("@context", None)
    if context:
        members = {"@context": _raw([STANDARD_CONTEXT, *context])} | members
    return msgspec.json.encode(members)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
