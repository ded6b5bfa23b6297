"""What the registry has to say of a row, in sentences: what it contradicts, changes, or was declared before."""

from __future__ import annotations

import asyncpg

from app.core import imei
from app.core.imei import shown
from app.devices.intake import Finding
from app.devices.naming import Name

_STANDING = {1: "suspect", 2: "blocked"}


def conflict(row: asyncpg.Record, other_line: int | None, counted: str = "line") -> Finding:
    """A row that says otherwise than a device that is registered, by `other_line` of the same submission, a number
    of what is `counted` there, or by an earlier receipt."""
    name = named(row["keys"], row["serial"])
    known = named(row["known_keys"], row["known_serial"])
    differing = row["differing"] or ["imeis"]
    about = _several(row) or ", ".join(_known(field, row) for field in differing)
    known_as = "" if known == name else f" as {known}"
    if other_line is not None:
        sentence = (
            f"{name} stands in {counted} {other_line} already{known_as}, and this {counted} says otherwise about:"
            f" {about}. One device would stand in one {counted}; the first was taken."
        )
        return Finding(row["line"], True, differing[0], name, "duplicate-in-file", sentence)
    sentence = (
        f"{name} is registered already{known_as} (receipt {row['known_receipt']}), and this row says otherwise"
        f" about: {about}. What is registered stays; {_way_out(row, differing)}."
    )
    return Finding(row["line"], True, differing[0], name, "registered-differently", sentence)


def entangled(line: int, keys: list[int], serial: str) -> Finding:
    """A row in a long chain of rows, each of which shares an identifier with the next."""
    name = named(keys, serial)
    sentence = (
        f"{name} stands in a chain of rows that each share an identifier with another one, as where a column has"
        " slipped by a row. Put the columns in step again, and send these rows."
    )
    return Finding(line, True, "imeis", name, "rows-entangled", sentence)


def _several(row: asyncpg.Record) -> str:
    return f"which device it is (its identifiers are those of {row['devices']})" if row["devices"] > 1 else ""


def _known(field: str, row: asyncpg.Record) -> str:
    """A field, and what the registry has in it."""
    if field == "imeis":
        return "the set of IMEIs"
    return f"{field} ({shown(str(row[f'known_{field}']), 60)})"


def _way_out(row: asyncpg.Record, differing: list[str]) -> str:
    if row["known_keys"][0] < 0 and "imeis" in differing and row["listed"]:
        return "it is declared stolen by its serial, so declare its IMEIs as well"
    if row["devices"] > 1:
        return "they stay apart; name each by itself"
    if differing == ["pallet"]:
        return "correct the row, or tell the device's movement to the other pallet"
    return "correct the row"


def update(row: asyncpg.Record) -> Finding:
    """A row that filled in what was left open, or that let an announced device arrive elsewhere."""
    name, fields = named(row["keys"], row["serial"]), ", ".join(row["changed"])
    sentence = f"{name} was registered already; this row has set: {fields}."
    return Finding(row["line"], False, row["changed"][0], name, "device-updated", sentence)


def listed(line: int, key: int, status: int) -> Finding:
    """A device that somebody declared stolen before it was registered here; status 1 is suspect, 2 blocked."""
    number = imei.full(key)
    sentence = (
        f"IMEI {number} was declared stolen before it was registered here. It is registered now and stays"
        f" {_STANDING[status]}; look at its incidents."
    )
    return Finding(line, False, "imeis", number, "imei-listed", sentence)


def not_claimed(line: int, key: int, status: int) -> Finding:
    """An IMEI that came later than the incident that holds its device; status 1 is suspect, 2 blocked."""
    number = imei.full(key)
    sentence = (
        f"The device that turns out to have IMEI {number} is {_STANDING[status]}, and this IMEI is not: declare it"
        " too."
    )
    return Finding(line, False, "imeis", number, "imei-not-claimed", sentence)


def listed_serial(line: int, name: Name, status: int) -> Finding:
    """A device with a serial that somebody declared stolen, perhaps without its GTIN, before it was registered."""
    sentence = (
        f"Serial {shown(name.serial)} was declared stolen and is {_STANDING[status]}. If it is this device,"
        f" {name.text}, declare it by an IMEI, its pallet or this name."
    )
    return Finding(line, False, "serial", shown(name.serial), "serial-listed", sentence)


def miscounted(declared: int, rows: int) -> Finding:
    """A submission that does not hold as many rows as its sender says."""
    sentence = (
        f"{declared:,} rows were declared, and the submission holds {rows:,}; ask the sender for the rest."
    )
    return Finding(0, False, "declared", str(declared), "quantity-differs", sentence)


def named(keys: list[int], serial: str) -> str:
    """A device by its IMEIs, or by its serial where it has none."""
    if keys and keys[0] >= 0:
        numbers = "+".join(imei.full(key) for key in keys)
        return f"IMEI {numbers}"
    return f"serial {serial}"
