"""Guards against mass mistakes: what is sold or golden is left out of a scope, and what is unlike the usual must be
acknowledged before it is submitted. Owns the table incident_site.

That no golden identifier is ever listed the database itself sees to (sql/migrations: golden).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.core import imei
from app.core.config import Settings
from app.core.db import Connection
from app.core.errors import Conflict, Flaw
from app.core.sql import queries
from app.incidents import scope as scopes
from app.incidents.preview import Caution, Preview, Sold, Spared, SparedOne, preview
from app.incidents.scope import Scope, Unknown

_SQL = queries("guards")
_FIRST = 20
INCLUDES = "Claim devices that were sold to customers, too; they are left out otherwise."
CODES = ("size", "sites")
"""Of warnings that must be acknowledged."""
_ACKNOWLEDGED = "The codes of warnings that are known and meant: size, sites."


class Bounds(msgspec.Struct, frozen=True):
    """What is unusual of a site: more than `devices`, if that is the first time, or more than `times` what an earlier
    incident came to, or more than `share` per cent of what stands there. No more than `devices` never are."""

    devices: int = 1000
    times: int = 5
    share: int = 50


def bounds(settings: Settings) -> Bounds:
    """As they are set."""
    return Bounds(settings.unusual_devices, settings.unusual_times, settings.unusual_share)


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said when a draft is submitted; nothing need be."""

    acknowledged: Annotated[
        tuple[Literal["size", "sites"], ...], msgspec.Meta(description=_ACKNOWLEDGED)
    ] = ()
    include_sold: Annotated[bool, msgspec.Meta(description=INCLUDES)] = False


USUAL, NOTHING_SAID = Bounds(), Submission()


class LeftOut(msgspec.Struct, frozen=True):
    """What a scope names and the incident does not claim."""

    sold: Sold
    spared: Spared


class DryRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be looked at."""

    scope: Scope
    include_sold: Annotated[bool, msgspec.Meta(description=INCLUDES)] = False


async def dry_run(
    conn: Connection, actor: Principal, said: DryRun, now: datetime, bounds: Bounds = USUAL
) -> Preview:
    """What an incident of this scope would do, of which nothing is kept. Raises Invalid."""
    actor.require(Permission.INCIDENTS_WRITE)
    named = await scopes.named(said.scope, now, actor.reach)
    return await looked_at(conn, await scopes.resolve(conn, named), named.as_of, said.include_sold, bounds)


async def looked_at(
    conn: Connection, unknown: Unknown, as_of: datetime | None, include_sold: bool, bounds: Bounds
) -> Preview:
    """The preview of the transaction's resolved scope, which loses what is left out."""
    unknown, left = await leave_out(conn, unknown, include_sold)
    return await shown(conn, unknown, left, as_of, bounds)


async def leave_out(conn: Connection, unknown: Unknown, include_sold: bool) -> tuple[Unknown, LeftOut]:
    """Takes golden and sold devices out of the transaction's resolved scope."""
    row = await conn.fetchrow(_SQL.leave_out_golden, _FIRST)
    assert row is not None
    gone = {imei.full(key) for key in row["unregistered"]}
    unknown = msgspec.structs.replace(unknown, imeis=[text for text in unknown.imeis if text not in gone])
    first = zip(row["first_keys"], row["first_whys"], strict=True)
    golden = [SparedOne(imei.full(key), why) for key, why in first]
    sold = await _sold(conn, include_sold)
    return unknown, LeftOut(sold, Spared(row["devices"], row["identifiers"], golden))


async def _sold(conn: Connection, included: bool) -> Sold:
    row = await conn.fetchrow(_SQL.sold, _FIRST)
    assert row is not None
    if row["devices"] and not included:
        await conn.execute(_SQL.leave_out_sold)
    first = await _names(conn, row["first_keys"])
    return Sold(row["devices"], row["identifiers"], first, included)


async def _names(conn: Connection, keys: Sequence[int]) -> list[str]:
    rows = await conn.fetch(_SQL.serials_of, [-key for key in keys if key < 0])
    serials = {row["key"]: row["serial"] for row in rows}
    return [imei.full(key) if key >= 0 else serials.get(key, "") for key in keys]


async def shown(
    conn: Connection,
    unknown: Unknown,
    left: LeftOut,
    as_of: datetime | None,
    bounds: Bounds,
    incident_id: int | None = None,
) -> Preview:
    """The preview of what is left of the scope, with its warnings. Of an incident that is being submitted, serials that
    nobody registered are in the scope already."""
    found = await preview(conn, unknown, as_of, incident_id)
    serials = 0 if incident_id or unknown.left_out else len(unknown.serials)
    cautions = [
        *await _sizes(conn, bounds, incident_id, serials),
        *await _likeness(conn),
        *_left_out(left),
    ]
    return msgspec.structs.replace(found, sold=left.sold, spared=left.spared, warnings=cautions)


async def _sizes(conn: Connection, bounds: Bounds, incident_id: int | None, serials: int) -> list[Caution]:
    """One warning for all sites of which this is more than usual."""
    rows = await conn.fetch(_SQL.by_site, incident_id, bounds.devices, serials)
    whys = [why for row in rows if (why := await _unusual(conn, row, bounds))]
    return [Caution("size", f"{'; '.join(whys[:_FIRST])}.", True)] if whys else []


async def _unusual(conn: Connection, row: asyncpg.Record, bounds: Bounds) -> str:
    """Why so many devices are unusual for their site; '' where they are not."""
    devices, largest, site = row["devices"], row["largest"], row["site"]
    where = f"{devices:,} devices of {site}" if site else f"{devices:,} of no known site"
    if largest is None:
        return f"{where}, of which no incident has held any before"
    if devices > bounds.times * largest:
        return f"{where}, more than {bounds.times} times the {largest:,} of the largest incident before"
    present = await conn.fetchval(_SQL.present, site, devices * 100 // bounds.share + 1) if site else 0
    if site and devices * 100 > bounds.share * present:
        return f"{where}, more than {bounds.share} % of the {present:,} that stand there"
    return ""


async def _likeness(conn: Connection) -> list[Caution]:
    row = await conn.fetchrow(_SQL.figures)
    assert row is not None
    told = (
        ("sites", row["sites"] > 1, f"The devices are of {row['sites']:,} sites; a theft is of one."),
        ("owners", row["owners"] > 1, f"The devices belong to {row['owners']:,} owners."),
        ("away", row["away"], f"{row['away']:,} devices were told to have left their site."),
        (
            "unvalued",
            row["unvalued"],
            f"Devices without a value, which the sum leaves out: {row['unvalued']:,}.",
        ),
    )
    return [Caution(code, detail, code == "sites") for code, is_so, detail in told if is_so]


def _left_out(left: LeftOut) -> Iterator[Caution]:
    if sold := left.sold.devices:
        becomes = "claimed all the same" if left.sold.included else "left out: their IMEIs are not blocked"
        yield Caution("sold", f"{sold:,} devices were sold to customers and are {becomes}.", False)
    if spared := left.spared.identifiers:
        yield Caution(
            "golden", f"{spared:,} identifiers are golden, or of such a device, and never blocked.", False
        )


def must_be_acknowledged(incident_id: int, found: Preview, said: Collection[str]) -> list[str]:
    """The codes that were acknowledged, of those that had to be. Raises Conflict `unusual` with the others."""
    wanted = [one for one in found.warnings if one.acknowledge]
    missing = [one for one in wanted if one.code not in said]
    if missing:
        codes = ", ".join(one.code for one in missing)
        details = " ".join(one.detail for one in missing)
        raise Conflict(
            f"Incident {incident_id} is unlike the usual, and was not submitted. {details} If that is meant so, it"
            f" would be acknowledged: {codes}.",
            "unusual",
            tuple(Flaw(one.detail, "/acknowledged", one.code) for one in missing),
        )
    return [one.code for one in wanted]


def nothing_left(incident_id: int, left: LeftOut) -> Conflict:
    """Why an incident that claims nothing cannot be submitted."""
    if left.sold.identifiers or left.spared.identifiers:
        return Conflict(
            f"Incident {incident_id} names only devices that are left out: {left.sold.devices:,} were sold"
            f" (include_sold would claim them), {left.spared.identifiers:,} identifiers are golden and never blocked.",
            "incident-empty",
        )
    return Conflict(
        f"Incident {incident_id} names nothing that could be blocked: no device is registered under its"
        " pallets or receipts. Register them, or name IMEIs or serials.",
        "incident-empty",
    )


async def remember(conn: Connection, incident_id: int) -> None:
    """Keeps how many devices of each site the resolved scope claims now, for those that come after."""
    await conn.execute(_SQL.forget, incident_id)
    await conn.execute(_SQL.remember, incident_id)
