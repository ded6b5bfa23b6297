"""From the identifiers of events to ours: IMEI, GTIN with serial, pallet (SSCC), site (GLN).

An identifier of another kind is kept as it came: it is nothing of ours, and no flaw.
"""

from __future__ import annotations

import re

import msgspec

from app.core import gs1, imei
from app.core.gs1 import BadKey
from app.core.imei import BadImei, shown

# RFC 3986, loosely: a scheme, and something after it that holds no space and no control character.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f]+\Z")
_OURS = ("https://id.gs1.org/00/", "http://id.gs1.org/00/", "urn:epc:id:sscc:")
_LONGEST = 2000


class Epc(msgspec.Struct, frozen=True):
    """One identifier of an event: as it came, and what it is to us. A serial that is an IMEI counts as one."""

    uri: str
    imei: int | None = None
    gtin: str = ""
    serial: str = ""
    pallet: str = ""

    @property
    def is_device(self) -> bool:
        return self.imei is not None or bool(self.serial)

    @property
    def names(self) -> tuple[str, ...]:
        """By what it is found again, whatever form it came in. What has no form of ours is its own name."""
        if self.pallet:
            return (f"00:{self.pallet}",)
        found = [] if self.imei is None else [f"imei:{self.imei:014d}"]
        if self.gtin:
            number = self.serial or imei.full(self.imei or 0)
            found.append(f"01:{self.gtin}:21:{number}")
        return tuple(found) or (self.uri,)


class BadEpc(ValueError):
    """Not an EPC, or one of a kind that we know and malformed; the text says what would be right."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def epc(uri: str) -> Epc:
    """What an EPC is to us. Raises BadEpc."""
    if not is_uri(uri):
        right = "it would be a URI, such as urn:gsma:imei:… or https://id.gs1.org/00/…"
        raise BadEpc("epc-malformed", f"'{shown(uri)}' is not an EPC: {right}.")
    try:
        return _read(uri)
    except (BadImei, BadKey) as error:
        raise BadEpc(error.code, str(error)) from None


def is_uri(text: str) -> bool:
    return len(text.encode()) <= _LONGEST and _URI.match(text) is not None


def _read(uri: str) -> Epc:
    if uri[:14].lower() == "urn:gsma:imei:":
        return Epc(uri, imei=imei.written(uri))
    if uri.startswith(_OURS):
        return Epc(uri, pallet=_pallet(uri))
    unit = gs1.item(uri)
    if unit:
        key = imei.recognised(unit.serial)
        return Epc(uri, imei=key, gtin=unit.gtin, serial="" if key is not None else unit.serial)
    said = gs1.linked(uri)
    if "00" in said and len(said["00"]) == 18:
        return Epc(uri, pallet=_pallet(uri))
    if "8002" in said:
        return Epc(uri, imei=imei.recognised(said["8002"]))
    return Epc(uri)


def _pallet(uri: str) -> str:
    """An EPC URI of an SSCC is 17 digits and completes its own check digit."""
    try:
        return gs1.sscc(uri)
    except BadKey as error:
        raise BadKey("sscc-malformed", str(error)) from None


def site(uri: str) -> str:
    """Our name of a location: its GLN (with its extension after a full stop), else its identifier as it came."""
    found = gs1.place(uri)
    if found is None:
        return uri
    return f"{found.gln}.{found.extension}" if found.extension else found.gln
