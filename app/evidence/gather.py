"""Reads what a pack holds, in one snapshot of the database, and writes it row by row into files; what the report says
of it is counted on the way. Never holds more of a large incident than a page of it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from app.audit import tiles
from app.audit.merkle import leaf_hash
from app.blocklist.standing import STATUSES
from app.core import imei
from app.core.db import Connection
from app.core.sql import queries
from app.devices.intake.spreadsheet import harmless
from app.evidence.asked import Asked
from app.evidence.proofs import Place

_SQL = queries("evidence")
_PAGE = 200
_JSON = msgspec.json.Encoder(order="deterministic", decimal_format="string")
DEVICES, MOVEMENTS, SIGHTINGS = "devices.csv", "movements.csv", "sightings.csv"
DELIVERIES, ENTRIES = "deliveries.ndjson", "audit/entries.ndjson"
_STATES = ("suspect", "blocked", "released")
_MOST_TOLD = 100


class Found(msgspec.Struct):
    """What was counted: of `by_pallet` and `by_model` devices, of `value` sums and devices by currency."""

    devices: int = 0
    identifiers: int = 0
    held: int = 0
    unvalued: int = 0
    by_pallet: Counter[str] = msgspec.field(default_factory=Counter)
    by_model: Counter[str] = msgspec.field(default_factory=Counter)
    value: dict[str, tuple[Decimal, int]] = {}
    deliveries: int = 0
    words: int = 0
    movements: int = 0
    sightings: int = 0
    entries: int = 0
    timeline: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []


def moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at else ""


def line(value: object) -> bytes:
    return _JSON.encode(value) + b"\n"


def identifier(key: int, serials: dict[int, tuple[str, str]]) -> str:
    """As its maker wrote it: an IMEI, or a serial by GS1's application identifiers."""
    if key >= 0:
        return imei.full(key)
    serial, gtin = serials.get(key, ("", ""))
    return f"(01){gtin}(21){serial}" if gtin else serial


def named(key: int) -> str:
    """A key as devices.csv has it: digits, or `serial-` and the number under which a serial is kept."""
    return f"{key:014d}" if key >= 0 else f"serial-{-key}"


class _Sheet:
    """A CSV file whose cells no spreadsheet calculates."""

    def __init__(self, path: Path, header: Iterable[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(header)

    def add(self, *cells: object) -> None:
        self._rows.writerow([harmless(str(cell)) if cell is not None else "" for cell in cells])

    def __enter__(self) -> _Sheet:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


async def devices(conn: Connection, asked: Asked, folder: Path, found: Found) -> None:
    """devices.csv: a row a device, or an identifier that is none's."""
    goods = ["model", "pallet", "site", "owner"] if asked.goods else []
    worth = ["unit_value", "currency"] if asked.values else []
    header = ["keys", "imeis", "serial", "gtin", *goods, *worth, "state", "released_at"]
    with _Sheet(folder / DEVICES, header) as sheet:
        rows = conn.cursor(_SQL.devices, asked.incident, asked.owner, asked.partner, prefetch=1000)
        async for row in rows:
            _count(row, asked, found)
            sheet.add(*_device(row, asked))


def _device(row: asyncpg.Record, asked: Asked) -> list[object]:
    keys = row["keys"]
    is_told = asked.goods or keys[0] < 0
    serial = (row["serial"] or row["bare_serial"]) if is_told else ""
    gtin = (row["gtin"] or row["bare_gtin"]) if is_told else ""
    goods = [row["model"], row["pallet"], row["site"], row["owner"]] if asked.goods else []
    worth = [row["unit_value"], row["currency"]] if asked.values else []
    state = _STATES[1] if row["is_held"] else _STATES[row["state"]]
    numbers = " ".join(imei.full(key) for key in keys if key >= 0)
    return [
        " ".join(map(named, keys)),
        numbers,
        serial,
        gtin,
        *goods,
        *worth,
        state,
        moment(row["lifted_at"]),
    ]


def _count(row: asyncpg.Record, asked: Asked, found: Found) -> None:
    found.identifiers += len(row["keys"])
    if row["device_id"] is None:
        return
    found.devices += 1
    found.held += row["is_held"]
    if asked.goods:
        found.by_pallet[row["pallet"]] += 1
        found.by_model[row["model"] or (f"GTIN {row['gtin']}" if row["gtin"] else "")] += 1
    if asked.values and row["unit_value"] is not None:
        amount, count = found.value.get(row["currency"], (Decimal(0), 0))
        found.value[row["currency"]] = (amount + row["unit_value"], count + 1)
    elif asked.values:
        found.unvalued += 1


async def movements(conn: Connection, asked: Asked, folder: Path, found: Found) -> None:
    """movements.csv: where each device stood, and when it was told so."""
    header = [
        "identifier",
        "serial",
        "gtin",
        "pallet",
        "moved_at",
        "recorded_at",
        "source",
        "recorded_by",
        "withdrawn",
    ]
    with _Sheet(folder / MOVEMENTS, header) as sheet:
        async for row in conn.cursor(_SQL.movements, asked.incident, asked.owner, prefetch=1000):
            found.movements += 1
            first = imei.full(row["key"]) if row["key"] >= 0 else ""
            source = row["source"] if asked.words else ""
            sheet.add(
                first, row["serial"], row["gtin"], row["pallet"], moment(row["moved_at"]), moment(row["recorded_at"]),
                source, asked.who(row["recorded_by"]), "yes" if row["withdrawn"] else "",
            )  # fmt: skip


async def sightings(conn: Connection, asked: Asked, folder: Path, found: Found) -> None:
    """sightings.csv: who asked about the devices, or reported one. Of an IMEI the first 14 digits are known."""
    header = [
        "identifier",
        "gtin",
        "told",
        "asked_by",
        "way",
        "place",
        "note",
        "times",
        "first_at",
        "last_at",
    ]
    with _Sheet(folder / SIGHTINGS, header) as sheet:
        async for row in conn.cursor(_SQL.sightings, asked.incident, asked.owner, prefetch=1000):
            found.sightings += 1
            place, note = (row["place"], row["note"]) if asked.words else ("", "")
            one = f"{row['key']:014d}" if row["key"] >= 0 else row["serial"]
            by = asked.who(row["asked_by"])
            sheet.add(
                one, row["gtin"], STATUSES[row["told"]], by, row["way"], place, note, row["times"],
                moment(row["first_at"]), moment(row["last_at"]),
            )  # fmt: skip
            if len(found.seen) < _MOST_TOLD:
                said = {"identifier": one, "by": by, "way": row["way"], "place": place, "times": row["times"]}
                found.seen.append(said | {"at": moment(row["first_at"])})


async def entries(
    conn: Connection, asked: Asked, places: list[Place], head: asyncpg.Record, folder: Path, found: Found
) -> None:
    """audit/entries.ndjson with proofs, and deliveries.ndjson: each call as the log has it, with what it told."""
    serials = {
        row["key"]: (row["serial"], row["gtin"]) for row in await conn.fetch(_SQL.serials, asked.incident)
    }
    partners = {
        row["partner_id"]: row["name"]
        for row in await conn.fetch(_SQL.partners, asked.incident, asked.partner)
    }
    own = (
        {row["key"] for row in await conn.fetch(_SQL.own_keys, asked.incident, asked.owner)}
        if asked.owner
        else None
    )
    (folder / ENTRIES).parent.mkdir(exist_ok=True)
    (folder / DELIVERIES).touch()
    proven = [one.entry_id for one in places if one.seq is not None and one.seq < head["size"]]
    with (folder / ENTRIES).open("wb") as log, (folder / DELIVERIES).open("wb") as told:
        for start in range(0, len(proven), _PAGE):
            page = await tiles.paths(conn, proven[start : start + _PAGE], head["size"])
            chunks = (
                await _chunks(conn, [msgspec.json.decode(one.body) for one in page])
                if asked.deliveries
                else {}
            )
            for one in page:
                body = msgspec.json.decode(one.body)
                _entry(log, asked, one, body, found)
                if asked.deliveries and body["kind"] == "delivery.attempted":
                    for said in _calls(one.entry_id, body, chunks, serials, partners, own, asked):
                        told.write(line(said))
                        found.deliveries += 1
        if asked.deliveries:
            async for row in conn.cursor(_SQL.words, asked.incident, asked.partner, prefetch=1000):
                if own is None or row["key"] in own:
                    told.write(line(_word(row, serials, asked)))
                    found.words += 1
    if not asked.deliveries:
        (folder / DELIVERIES).unlink()


def _entry(log: io.BufferedWriter, asked: Asked, one: tiles.Path, body: dict[str, Any], found: Found) -> None:
    found.entries += 1
    shown = asked.shows(body["kind"])
    log.write(
        line(
            {
                "entry": one.entry_id,
                "index": one.seq,
                "leaf": leaf_hash(one.body.encode()).hex(),
                "body": one.body if shown else None,
                "proof": [each.hex() for each in one.hashes],
            }
        )
    )
    if body["kind"] != "delivery.attempted":
        found.timeline.append(
            {"at": body["at"], "kind": body["kind"], "by": asked.who(body["actor"]), "entry": one.entry_id}
        )


async def _chunks(conn: Connection, bodies: list[dict[str, Any]]) -> dict[int, tuple[list[int], list[int]]]:
    wanted = {
        call["chunk"]
        for body in bodies
        if body["kind"] == "delivery.attempted"
        for call in body["detail"].get("calls", ())
    }
    rows = await conn.fetch(_SQL.chunks, sorted(wanted))
    return {row["chunk_id"]: (row["keys"], row["versions"]) for row in rows}


def spanned(places: str) -> list[int]:
    """The places of `3,7-9`."""
    found: list[int] = []
    for span in places.split(","):
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _calls(
    entry_id: int,
    body: dict[str, Any],
    chunks: dict[int, tuple[list[int], list[int]]],
    serials: dict[int, tuple[str, str]],
    partners: dict[int, str],
    own: set[int] | None,
    asked: Asked,
) -> Iterable[dict[str, Any]]:
    partner = int(body["subject"].partition(":")[2])
    for number, call in enumerate(body["detail"].get("calls", ())):
        keys, versions = chunks.get(call["chunk"], ([], []))
        orders = [
            (keys[place - 1], versions[place - 1]) for place in spanned(call["places"]) if place <= len(keys)
        ]
        mine = [(key, version) for key, version in orders if own is None or key in own]
        if own is not None and not mine:
            continue
        exchanges = call.get("exchanges", [])
        if not asked.words:
            kept = ("request_sha256", "reply_sha256", "status", "sha256")
            exchanges = [{name: one[name] for name in kept if name in one} for one in exchanges]
        said = {
            "type": "call", "entry": entry_id, "call": number, "partner": partner, "name": partners.get(partner, ""),
            "op": body["detail"]["op"], "chunk": call["chunk"], "key": call["key"], "at": call["at"], "ms": call["ms"],
            "identifiers": [identifier(key, serials) for key, _ in mine], "versions": [version for _, version in mine],
            "exchanges": exchanges,
        }  # fmt: skip
        if asked.words:
            said |= {
                name: call[name] for name in ("places", "outcomes", "fault", "exceptions") if name in call
            }
        yield said


def _word(row: asyncpg.Record, serials: dict[int, tuple[str, str]], asked: Asked) -> dict[str, Any]:
    said = {
        "type": "word", "partner": row["partner_id"], "name": row["name"],
        "identifier": identifier(row["key"], serials), "version": row["version"], "op": row["op"],
        "state": row["state"], "at": moment(row["changed_at"]),
    }  # fmt: skip
    return said | {name: row[name] for name in ("code", "words", "ref")} if asked.words else said


async def standings(conn: Connection, asked: Asked) -> list[dict[str, Any]]:
    """Each partner's progress, in numbers that are not of one owner alone."""
    if not asked.deliveries or asked.owner is not None:
        return []
    rows = await conn.fetch(_SQL.partners, asked.incident, asked.partner)
    return [{**row, "first_at": moment(row["first_at"]), "last_at": moment(row["last_at"])} for row in rows]
