"""Devices as people and events name them: by an IMEI, or by a serial and, where it is known, its GTIN.

Two models may share a serial. A serial alone names a device only where one device has it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from app.core import imei
from app.core.db import Connection
from app.core.errors import Flaw, Invalid
from app.core.gs1 import BadKey, item, sscc
from app.core.imei import BadImei
from app.core.sql import queries

_SQL = queries("devices")
_ELEMENTS = re.compile(r"\(01\)([0-9]{14})\(21\)(.+)\Z")
# Few enough that others are answered meanwhile.
_AT_ONCE = 10_000
_MOST_FLAWS = 1000
_MOST_GTINS = 10


class Name(msgspec.Struct, frozen=True):
    """An IMEI (its key of 14 digits), or a serial with its GTIN of 14 digits, '' where it is not known. A GTIN may
    stand beside an IMEI, and says nothing there."""

    imei: int | None = None
    gtin: str = ""
    serial: str = ""

    @property
    def text(self) -> str:
        """As people read it, and as it can be said again."""
        if self.imei is not None:
            return imei.full(self.imei)
        return f"(01){self.gtin}(21){self.serial}" if self.gtin else self.serial


def by_imei(text: str) -> Name:
    """Raises BadImei."""
    return Name(imei.written(text))


def by_serial(text: str) -> Name:
    """A serial as it is, or with its GTIN as GS1 writes both: (01)…(21)…, an EPC URI, a Digital Link.

    Raises BadKey `serial-malformed`, `sgtin-malformed`.
    """
    text = text.strip()
    elements, unit = _ELEMENTS.match(text), item(text)
    gtin, serial = elements.groups() if elements else unit or ("", text)
    if not serial or len(serial) > 200 or not serial.isprintable():
        raise BadKey("serial-malformed", "A serial would be 1 to 200 printable characters.")
    return Name(gtin=gtin, serial=serial)


def by_sscc(text: str) -> str:
    """The SSCC of a pallet as it is stored. Raises Invalid `pallet-malformed`."""
    try:
        return sscc(text)
    except BadKey as error:
        raise Invalid(str(error), error.code) from None


def named(imeis: Sequence[str], serials: Sequence[str], at: str, flaws: list[Flaw]) -> list[Name]:
    """These texts as names, none twice; what cannot be right is added to `flaws` with its place below `at`."""
    found: dict[Name, None] = {}
    for field, reader, texts in (("imeis", by_imei, imeis), ("serials", by_serial, serials)):
        for place, text in enumerate(texts):
            try:
                found[reader(text)] = None
            except (BadImei, BadKey) as error:
                flaws.append(Flaw(str(error), f"{at}/{field}/{place}", error.code))
    return list(found)


async def devices(conn: Connection, names: Sequence[Name]) -> dict[Name, int]:
    """The devices that these names mean; what nobody registered is not among them.

    Raises Invalid `serial-ambiguous` where a serial means several.
    """
    found: defaultdict[Name, list[int]] = defaultdict(list)
    for start in range(0, len(names), _AT_ONCE):
        asked = names[start : start + _AT_ONCE]
        for row in await conn.fetch(_SQL.named, *_columns(asked)):
            found[asked[row["place"] - 1]].append(row["device_id"])
    shared = [name for name, ids in found.items() if len(ids) > 1]
    if shared:
        raise await _ambiguous(conn, shared)
    return {name: ids[0] for name, ids in found.items()}


async def number_unknown(conn: Connection, serials: Sequence[str], gtins: Sequence[str]) -> None:
    """Gives serials that nobody registered a number each, by which they can be listed."""
    await conn.execute(_SQL.number_unknown, serials, gtins)


def _columns(names: Iterable[Name]) -> tuple[list[int | None], list[str], list[str]]:
    rows = [(name.imei, "" if name.imei is not None else name.serial, name.gtin) for name in names]
    keys, serials, gtins = zip(*rows, strict=True) if rows else ((), (), ())
    return list(keys), list(serials), list(gtins)


async def _ambiguous(conn: Connection, shared: Sequence[Name]) -> Invalid:
    rows = await conn.fetch(_SQL.gtins_of, [name.serial for name in shared[:_MOST_FLAWS]])
    flaws = tuple(_flaw(row["serial"], row["gtins"]) for row in rows)
    return Invalid(
        f"{len(shared):,} serial(s) name several devices, and nothing was done: {flaws[0].detail}",
        "serial-ambiguous",
        flaws,
    )


def _flaw(serial: str, gtins: Sequence[str]) -> Flaw:
    named = [Name(gtin=gtin, serial=serial).text for gtin in gtins if gtin][:_MOST_GTINS]
    ways = f"{' or '.join(named)}, an IMEI, or a pallet"
    detail = f"{imei.shown(serial)} is the serial of {len(gtins)} devices; it would be {ways}."
    return Flaw(detail, code="serial-ambiguous")
